//! The stage for journeys and benches: both servers on real sockets over a real Postgres.

#![expect(
    clippy::expect_used,
    reason = "a stage that cannot be built ends the test that asked for it"
)]
#![expect(
    clippy::panic,
    reason = "what reads an answer for a scene fails it with what it saw"
)]

pub mod examples;
pub mod meter;
pub mod program;
pub mod recording;
pub mod tool_pages;
pub mod world;
