//! The tools' handlers, a file each.

pub mod billing;
pub mod booking;
mod confirm_action;
pub mod inventory;
pub mod location;
pub mod payment;
pub mod profile;
pub mod support;
