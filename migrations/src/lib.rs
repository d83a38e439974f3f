//! The schema, the database it lives in, and the clock.
//!
//! # Layout
//! - `<timestamp>_<sentence>.sql` in the crate's folder: the migrations, forward only, compiled into every program.
//! - [`clock`]: what time it is, and ids that carry it. Nothing else in the workspace asks the machine for either.
//! - [`database`]: [`database::open`] gives a program its pool, whatever it was told: a Postgres somewhere, or nothing at all.
//! - [`embedded`]: the private Postgres used when nothing was told. Started and stopped by the programs that share it.
//! - [`hooks`]: where a test may stop a program.
//! - [`settings`] and [`keys`]: what both programs read the same way from the environment and the home.
//! - [`finding`] and [`home`]: what a look at a deployment finds, for `mcp-server doctor`.
//! - [`telemetry`]: what a program tells its operator: logs, spans, counters.
//! - [`test_database`]: a fresh migrated database for one test, and a private server for tests that stop and start it.
//!
//! # Invariants
//! - A program's connections never run as an owner, a superuser or a role that may pass row level security.
//! - The embedded server has no TCP port, never runs as root and never signals a process it has not recognised.

pub mod clock;
pub mod database;
pub mod embedded;
pub mod finding;
pub mod home;
pub mod hooks;
pub mod keys;
mod open_error;
pub mod settings;
pub mod telemetry;
pub mod test_database;
