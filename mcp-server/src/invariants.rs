//! What never may be: each rule is one query that counts where it is broken. They run after every test that writes, and by
//! `mcp-server check` on a live database, as a role that sees every tenant.
//!
//! The numbers are those of the promises: 1 to 4 the ledger, 5 stock, 6 to 8 bills and payments, 9 what hangs together, 10 bookings, 11 to
//! 15 calls.

mod bills;
mod bookings;
mod ledger;
mod payments;
mod people;
mod stock;

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// The promise it belongs to, 1 to 17.
    pub number: u8,
    /// What always holds, for a person.
    pub says: &'static str,
    /// A query with one number: how many rows break it.
    pub broken: &'static str,
}

/// Every rule.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    [
        stock::RULES,
        bills::RULES,
        ledger::RULES,
        payments::RULES,
        people::RULES,
        bookings::RULES,
    ]
    .into_iter()
    .flatten()
}
