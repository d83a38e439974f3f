//! Tells cargo that a new `.sql` file changes this crate: `sqlx::migrate!` only watches the files it already knows.

fn main() {
    println!("cargo:rerun-if-changed=.");
}
