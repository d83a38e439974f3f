//! The business as tools over the Model Context Protocol.
//!
//! # Layout
//!
//! - [`call`]: the one path every call takes: caller, scope, validate, idempotency, confirm, tool, audit, answer.
//! - [`server`]: the protocol around it; [`confirmation`]: the question a `commit` tool asks; [`pages`]: where a person answers it.
//! - [`handler`]: what a tool's file provides; [`tools`]: those files.
//! - [`catalogue`], [`stock`], [`numbering`], [`words`]: the business facts and sentences tools build on.

pub mod app;
mod audit;
pub mod call;
pub mod caller;
mod canonical;
pub mod cli;
pub mod config;
mod confirmation;
pub mod demo;
pub mod error;
pub mod guard;
pub mod handler;
pub mod http;
mod idempotency;
mod pages;
mod routes;
pub mod server;
pub mod start;
pub mod sweeper;
mod tokens;
mod tools;
