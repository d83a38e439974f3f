//! The business as tools over the Model Context Protocol.
//!
//! # Layout
//!
//! - [`call`]: the one path every call takes: caller, scope, validate, idempotency, confirm, tool, audit, answer.
//! - [`server`]: the protocol around it; [`confirmation`]: the question a `commit` tool asks; [`pages`]: where a person answers it.
//! - [`handler`]: what a tool's file provides; [`tools`]: those files.
//! - [`catalogue`], [`stock`], [`numbering`], [`words`]: the business facts and sentences tools build on.

pub mod caller;
pub mod error;
pub mod handler;
pub mod app;
mod audit;
pub mod call;
mod canonical;
mod confirmation;
mod idempotency;
mod routes;
mod tools;
pub mod guard;
pub mod server;
mod tokens;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
mod pages;
pub mod start;
pub mod sweeper;
