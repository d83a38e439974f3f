//! The people who buy, a tool per file, and what more than one of them reads.

mod create_customer;
mod details;
mod find_customers;
mod get_user_profile;
mod update_preferences;
