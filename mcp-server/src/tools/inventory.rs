//! Items and stock, a tool per file, and what more than one of them checks.

mod add_item;
mod delete_item;
mod details;
mod get_item;
mod list_items;
mod update_item;
