//! The agent: sessions, runs, approvals and pages over the tools of MCP servers.

pub mod app;
pub mod config;
pub mod language;
pub mod models;
pub mod principal;
pub mod turns;
