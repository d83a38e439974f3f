//! `mcp-server audit`: what was done, by whom, and who agreed; for reading and for export.

use std::io::{self, Write};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::Value;

use super::desk::{Business, Desk, Path};
use crate::admin::audit::{Entries, Entry};
use crate::admin::settings::Settings;
use crate::app::Hooks;
use crate::config::Config;
use crate::days;

/// Entries asked for at once. No more are ever held, however long the log is.
const PAGE: &str = "200";
/// The columns of an export, in their order.
const COLUMNS: [&str; 11] = [
    "at",
    "tool",
    "requested_by",
    "decided_by",
    "decided_via",
    "subject",
    "confirmation_id",
    "arguments",
    "before",
    "after",
    "id",
];

#[derive(Debug, Args)]
pub(super) struct Export {
    /// From this day of the shop's, or this moment (RFC 3339), on.
    #[arg(long)]
    from: Option<String>,
    /// Up to and with this day of the shop's, or before this moment (RFC 3339).
    #[arg(long)]
    to: Option<String>,
    /// Calls of this tool alone; changes of administration are called `admin.people.add` and so on.
    #[arg(long)]
    tool: Option<String>,
    /// What this principal asked for or agreed to.
    #[arg(long)]
    who: Option<String>,
    /// What was done to this: `bill:<id>`.
    #[arg(long)]
    subject: Option<String>,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values (RFC 4180), with a heading.
    #[arg(long)]
    csv: bool,
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Lines,
    Json,
    Csv,
}

pub(super) async fn run(
    config: &Config,
    hooks: Hooks,
    business: &Business,
    audit: &Export,
) -> anyhow::Result<()> {
    let desk = Desk::open(config, hooks, business).await?;
    let done = export(&desk, audit, &mut io::stdout()).await;
    desk.close().await;
    match done {
        // Whoever reads has seen enough.
        Err(error) if error.downcast_ref().is_some_and(is_over) => Ok(()),
        done => done,
    }
}

fn is_over(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A page at a time, newest first.
async fn export(desk: &Desk, audit: &Export, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let settings: Settings = desk.get(&Path::to(&["settings"])).await?;
    let zone: Tz = settings
        .time_zone
        .parse()
        .context("The shop's time zone cannot be read")?;
    let from = audit
        .from
        .as_deref()
        .map(|text| moment(text, zone, days::start_of));
    let to = audit
        .to
        .as_deref()
        .map(|text| moment(text, zone, days::end_of));
    let (from, to) = (from.transpose()?, to.transpose()?);
    let form = match (audit.json, audit.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Lines,
    };
    if matches!(form, Form::Csv) {
        write!(out, "{}\r\n", COLUMNS.join(","))?;
    }
    let mut cursor: Option<String> = None;
    loop {
        let path = Path::to(&["audit"])
            .with("from", from.as_deref())
            .with("to", to.as_deref())
            .with("tool", audit.tool.as_deref())
            .with("who", audit.who.as_deref())
            .with("subject", audit.subject.as_deref())
            .with("limit", Some(PAGE))
            .with("cursor", cursor.as_deref());
        let page: Entries = desk.get(&path).await?;
        for entry in &page.entries {
            write_entry(out, form, entry, zone)?;
        }
        out.flush()?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// A moment, or a day of the shop's as the moment it begins or ends.
fn moment(
    text: &str,
    zone: Tz,
    of_day: fn(NaiveDate, Tz) -> Option<DateTime<Utc>>,
) -> anyhow::Result<String> {
    let at = match text.parse::<NaiveDate>() {
        Ok(day) => of_day(day, zone),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc()),
    };
    let at = at.with_context(|| {
        format!("`{text}` is no day and no moment. Write 2026-11-20 or 2026-11-20T08:00:00Z.")
    })?;
    Ok(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn write_entry(out: &mut impl Write, form: Form, entry: &Entry, zone: Tz) -> anyhow::Result<()> {
    match form {
        Form::Json => writeln!(out, "{}", serde_json::to_string(entry)?)?,
        Form::Csv => write!(out, "{}\r\n", csv(entry))?,
        Form::Lines => writeln!(out, "{}", line(entry, zone))?,
    }
    Ok(())
}

fn line(entry: &Entry, zone: Tz) -> String {
    let at = entry.at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
    let agreed = match (&entry.decided_by, &entry.decided_via) {
        (Some(by), Some(via)) => format!(", agreed to by {by} ({via})"),
        (Some(by), None) => format!(", agreed to by {by}"),
        (None, _) => String::new(),
    };
    format!(
        "{at}  {}  by {}{agreed}  {}",
        entry.tool, entry.requested_by, entry.subject
    )
}

fn csv(entry: &Entry) -> String {
    let json = |value: &Option<Value>| value.as_ref().map_or_else(String::new, Value::to_string);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let cells = [
        entry.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        entry.tool.clone(),
        entry.requested_by.clone(),
        text(&entry.decided_by),
        text(&entry.decided_via),
        entry.subject.clone(),
        entry
            .confirmation_id
            .map_or_else(String::new, |id| id.to_string()),
        entry.arguments.to_string(),
        json(&entry.before),
        json(&entry.after),
        entry.id.to_string(),
    ];
    cells.map(|cell| quoted(&cell)).join(",")
}

/// A cell as RFC 4180 has it. One that a spreadsheet would take for a formula gets an apostrophe in front.
fn quoted(cell: &str) -> String {
    let guarded = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("-2", "'-2"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }

    #[test]
    fn days_are_the_shops() {
        let kigali = Tz::Africa__Kigali;
        assert_eq!(
            moment("2026-11-20", kigali, days::start_of).unwrap(),
            "2026-11-19T22:00:00.000000Z"
        );
        assert_eq!(
            moment("2026-11-20", kigali, days::end_of).unwrap(),
            "2026-11-20T22:00:00.000000Z"
        );
        let at = moment("2026-11-20T08:00:00+02:00", kigali, days::end_of).unwrap();
        assert_eq!(at, "2026-11-20T06:00:00.000000Z");
        assert!(moment("yesterday", kigali, days::start_of).is_err());
    }
}
