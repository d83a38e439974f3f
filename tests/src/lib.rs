//! The stage for journeys and benches: both servers on real sockets over a real Postgres.

pub mod program;
pub mod world;
