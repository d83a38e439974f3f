//! The tools' handlers, a file each.

pub mod billing;
pub mod inventory;
