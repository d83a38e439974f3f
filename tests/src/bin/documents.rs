//! Writes the generated documents: `contracts/mcp-tools.json`, `contracts/agent-api.yaml` and the pages in `contracts/tools`. With
//! `--check` it only says which are out of date. Run by `cargo generate`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::Context as _;
use contracts::tools::sheets;
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run(env::args().any(|a| a == "--check")) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            say(&format!(
                "Out of date: {}. Run `cargo generate` and commit what it writes.",
                stale.join(", ")
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> anyhow::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's folder")?;
    let mut documents = vec![
        ("contracts/mcp-tools.json".to_owned(), tools()?),
        (
            "contracts/agent-api.yaml".to_owned(),
            agent::http::api_document().to_yaml()?,
        ),
    ];
    documents.extend(e2e::tool_pages::pages());
    let mut stale = Vec::new();
    for (path, text) in documents {
        let file = root.join(&path);
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            fs::write(&file, text)?;
            say(&path);
        }
    }
    Ok(stale)
}

/// Every tool as a client sees it listed, sorted by name.
fn tools() -> anyhow::Result<String> {
    let mut sheets = sheets();
    sheets.sort_by_key(|s| s.name);
    let list: Vec<Value> = sheets
        .into_iter()
        .map(|s| {
            let mut tool = json!({
                "name": s.name, "title": s.title, "description": s.description, "toolset": s.toolset.word(),
                "annotations": s.annotations, "inputSchema": s.input_schema, "outputSchema": s.output_schema,
            });
            // What a customer is listed instead: another description, and no arguments that are the staff's.
            if let Some(hers) = s.for_customers {
                tool["forCustomers"] = json!({
                    "description": hers.description, "staffArguments": hers.staff_arguments, "staffWords": hers.staff_words,
                });
            }
            tool
        })
        .collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&list)?))
}

#[expect(
    clippy::print_stderr,
    reason = "a command line tool speaks to whoever runs it"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
