//! The agent: sessions, runs, approvals and pages over the tools of MCP servers.

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod language;
pub mod models;
pub mod pages;
pub mod principal;
pub mod streams;
pub mod turns;
