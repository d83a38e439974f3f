//! Journeys over the wire: each file is a story, each test a scene of it.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::panic,
    reason = "a scene's own helpers fail it with what they saw"
)]

mod admin;
mod agent_callers;
mod bad_input;
mod callers;
mod confirmation;
mod crash;
mod deployment;
mod documents;
mod door;
mod examples;
mod floods;
mod foreign;
mod isolation;
mod models;
mod operations;
mod payments;
mod protocol;
mod providers;
mod restarts;
mod sources;
mod stories;
mod streams;
mod terminal;
mod together;
mod webhooks;

/// The programs of this package, which only its tests know.
const PROGRAMS: e2e::program::Executables = e2e::program::Executables {
    agent: env!("CARGO_BIN_EXE_e2e-agent"),
    server: env!("CARGO_BIN_EXE_e2e-mcp-server"),
    foreign: env!("CARGO_BIN_EXE_e2e-foreign"),
};
