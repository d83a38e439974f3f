//! The tools' handlers, a file each.

mod billing;
mod confirm_action;
mod inventory;
