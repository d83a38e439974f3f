//! Journeys over the wire: each file is a story, each test a scene of it.

mod sources;
mod stories;
