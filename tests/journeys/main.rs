//! Journeys over the wire: each file is a story, each test a scene of it.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::panic,
    reason = "a scene's own helpers fail it with what they saw"
)]

mod bad_input;
mod confirmation;
mod door;
mod isolation;
mod protocol;
mod sources;
mod stories;
mod streams;
mod terminal;
