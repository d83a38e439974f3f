//! Money in, out and owed, a tool per file.

mod check_balance;
mod collect_payment;
mod refund_payment;
mod top_up_wallet;
mod transaction_history;
