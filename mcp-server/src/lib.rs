//! The business as tools over the Model Context Protocol.
//!
//! # Layout
//!
//! - [`call`]: the one path every call takes: caller, scope, validate, idempotency, confirm, tool, audit, answer.
//! - [`server`]: the protocol around it; [`confirmation`]: the question a `commit` tool asks; [`pages`]: where a person answers it.
//! - [`handler`]: what a tool's file provides; [`tools`]: those files.
//! - [`catalogue`], [`customers`], [`stock`], [`pricing`], [`bills`], [`numbering`], [`days`]: the business facts tools build on.
//! - [`typed`], [`cursor`]: what a person or a client sent, made safe; [`words`]: every sentence that is answered.

pub mod bills;
pub mod caller;
pub mod catalogue;
pub mod cursor;
pub mod customers;
pub mod days;
pub mod error;
pub mod handler;
pub mod numbering;
pub mod pricing;
pub mod stock;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod typed;
pub mod words;
