//! The tools' handlers, a file each.

pub mod billing;
pub mod confirm_action;
pub mod inventory;
