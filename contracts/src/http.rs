//! The agent's HTTP API: requests, responses, run events, problems.

pub mod approval;
pub mod chat;
pub mod event;
pub mod login;
pub mod problem;
pub mod run;
