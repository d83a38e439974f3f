//! Branches and distances, a tool per file.

mod calculate_distance;
mod find_nearby;
