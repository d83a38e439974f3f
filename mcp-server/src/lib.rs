//! The business as tools over the Model Context Protocol.
//!
//! # Layout
//!
//! - [`call`]: the one path every call takes: caller, scope, validate, idempotency, confirm, tool, audit, answer.
//! - [`server`]: the protocol around it; `written`: a result's way into the reply; `confirmation`: the question a `commit` tool asks; `pages`: where a person answers it.
//! - [`handler`]: what a tool's file provides; `tools`: those files.
//! - `documents`: a bill as JSON and as PDF, a booking as a file; read as resources or on pages. `price_list`, `opening_hours`: read as resources;
//!   `completing`: what somebody may be about to type; `changes`: who wants to be told of them.
//! - `phones`, `places`, `geo`, `opening`: how people are reached, and where and when the shop is open.
//! - `catalogue`, `customers`, `stock`, `pricing`, `bills`, `ledger`, `payments`, `bookings`, `numbering`, `days`: the business facts tools build on; `calendar`: a
//!   booking as a file.
//! - [`invariants`]: what always has to hold; [`check`]: whether it does in a live database.
//! - [`jobs`]: what is done after the answer; [`providers`]: who moves money; [`webhooks`]: what others are told; [`outgoing`]: how others
//!   are reached; `callbacks`: where they reach us.
//! - `admin`: what owners and the operator do about businesses, people, keys and settings; [`cli`]: the same on the command line.
//! - [`guard`]: who gets through the door; [`identity`]: whom a credential speaks for; [`limits`]: how much is taken of whom.
//! - `metrics`: what operators see; [`doctor`]: whether a deployment is as it should be.
//! - `typed`, `cursor`: what a person or a client sent, made safe; `words`: every sentence that is answered.

mod admin;
pub mod app;
mod audit;
pub mod bills;
pub mod bookings;
pub mod calendar;
pub mod call;
mod callbacks;
pub mod caller;
mod canonical;
pub mod catalogue;
mod changes;
pub mod check;
pub mod cli;
mod completing;
pub mod config;
mod confirmation;
pub mod cursor;
pub mod customers;
pub mod days;
pub mod demo;
pub mod doctor;
mod documents;
pub mod error;
#[cfg(feature = "conformance-fixtures")]
pub mod fixtures;
mod geo;
pub mod guard;
pub mod handler;
mod hints;
pub mod http;
mod idempotency;
pub mod identity;
pub mod invariants;
pub mod jobs;
mod ledger;
pub mod limits;
mod metrics;
pub mod numbering;
mod opening;
mod opening_hours;
pub mod outgoing;
mod pages;
mod payments;
pub mod phones;
mod places;
mod price_list;
pub mod pricing;
pub mod providers;
mod routes;
pub mod server;
pub mod start;
pub mod stock;
pub mod sweeper;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod typed;
pub mod webhooks;
pub mod words;
mod written;
