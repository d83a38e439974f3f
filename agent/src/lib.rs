//! The agent: sessions, runs, approvals and pages over the tools of MCP servers.

pub mod answers;
pub mod language;
pub mod models;
pub mod principal;
pub mod tools;
