//! The tools' handlers, a file each.

pub mod billing;
mod confirm_action;
pub mod inventory;
pub mod payment;
