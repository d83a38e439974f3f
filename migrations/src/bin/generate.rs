//! `cargo generate` rewrites every generated file; `cargo generate --check` says which are out of date and changes nothing.
//!
//! The query data (`<crate>/.sqlx`) comes first and from here, because nothing that uses a checked query compiles without it; the rest
//! comes from `documents` in the tests' package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use anyhow::{Context as _, ensure};
use migrations::test_database::TestDatabase;

/// Crates with checked queries.
const CRATES: [&str; 2] = ["mcp-server", "agent"];

#[tokio::main]
async fn main() -> ExitCode {
    let check = env::args().any(|a| a == "--check");
    match run(check).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(check: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's folder")?
        .to_path_buf();
    let database = TestDatabase::new().await;
    let mut stale = Vec::new();
    for name in CRATES {
        let fresh = prepare(&root, name, &database.owner_url())?;
        let folder = root.join(name).join(".sqlx");
        if fresh == read_folder(&folder)? {
            continue;
        }
        if check {
            stale.push(format!("{name}/.sqlx"));
        } else {
            replace_folder(&folder, &fresh)?;
            say(&format!("{name}/.sqlx: {} queries", fresh.len()));
        }
    }
    ensure!(
        stale.is_empty(),
        "Out of date: {}. Run `cargo generate` and commit what it writes.",
        stale.join(", ")
    );
    let mut documents = cargo(&root);
    documents
        .args(["run", "-q", "-p", "e2e", "--bin", "documents", "--"])
        .args(check.then_some("--check"));
    ensure!(
        documents.status().context("cargo run")?.success(),
        "The documents could not be generated."
    );
    Ok(())
}

/// The query data of one crate, by file name, as the macros write it while the crate is checked against a live database.
fn prepare(root: &Path, name: &str, owner_url: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let folder = root.join("target").join("sqlx-fresh").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    // Without a newer file cargo would not expand the macros again.
    let library = root.join(name).join("src/lib.rs");
    fs::File::options()
        .append(true)
        .open(&library)?
        .set_modified(std::time::SystemTime::now())?;
    let status = cargo(root)
        // Without the tool server in it, the agent's folder gets none of the server's queries.
        .args(["check", "-q", "-p", name, "--lib", "--no-default-features"])
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &folder)
        .env("DATABASE_URL", owner_url)
        .status()
        .context("cargo check")?;
    ensure!(
        status.success(),
        "{name} does not compile against the migrated database."
    );
    read_folder(&folder)
}

fn cargo(root: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

fn read_folder(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|e| e == "json")
            && let Some(name) = path.file_name().and_then(|n| n.to_str())
        {
            files.insert(name.to_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

fn replace_folder(folder: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    for (name, text) in files {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a command line tool speaks to whoever runs it"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
