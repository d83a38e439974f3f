//! Drawn sequences of operations, run by several clients at once against the real servers while connections are cut, replies dropped and
//! processes killed, and held against the model of [`crate::model`].
//!
//! A sequence is drawn from one number. Each has a tenant of its own, so that many run side by side over the same two servers. Whatever
//! a client did not learn the outcome of, it asks for again under the same key until it has an answer; then some order of all operations
//! must explain every reply, every rule of the business must hold, and the audit log must have exactly what was acknowledged.

pub mod chaos;
pub mod client;
pub mod history;
pub mod run;
pub mod script;
