//! Bills and takings, a tool per file.

mod create_bill;
mod credit_bill;
mod get_bill;
mod list_bills;
mod sales_summary;
mod void_bill;
mod write_off_bill;
