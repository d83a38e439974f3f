//! Journeys over the wire: each file is a story, each test a scene of it.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod confirmation;
mod protocol;
mod sources;
mod stories;
