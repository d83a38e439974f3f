//! Requests that people answer, a tool per file, and what more than one of them reads and writes.

mod create_ticket;
mod details;
mod escalate_to_human;
mod list_tickets;
mod update_ticket;
