//! The stage for journeys and benches: both servers on real sockets over a real Postgres.

pub mod meter;
pub mod program;
pub mod recording;
pub mod world;
