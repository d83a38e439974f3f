//! The agent: sessions, runs, approvals and pages over the tools of MCP servers.
//!
//! # Layout
//!
//! - [`run`]: open this first: what happens to one piece of work, in seven steps.
//! - [`turns`]: what an edge may ask of the engine; [`http`], [`pages`] and [`cli`] are the edges, [`streams`] their projections.
//! - [`sessions`], [`approvals`]: conversations, and the questions open in them; [`answers`] reads a person's yes and no.
//! - [`models`]: what drives a conversation; [`tools`]: the tool server it works with.
//! - [`identity`]: whose credential somebody brought; [`tokens`]: on whose behalf the tool server is called.
//! - [`metrics`]: what operators see.
//! - [`start`] and [`embedded`]: putting the program together.
//! - [`stub_provider`]: a language model that says what a script says, and every fault such a provider can have.

pub mod answers;
pub mod app;
pub mod approvals;
pub mod cli;
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod http;
pub mod identity;
pub mod language;
pub mod metrics;
pub mod models;
pub mod pages;
pub mod principal;
pub mod program;
pub mod run;
pub mod sessions;
pub mod start;
pub mod streams;
pub mod stub_provider;
pub mod tokens;
pub mod tools;
pub mod turns;
