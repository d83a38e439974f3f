//! What a program says to Postgres, read from the server's own log, and how to say the very same again for another item, bill or run.
//!
//! Two recordings of one kind of call tell what is a name of that one call: an id that differs between them was made for it, and where it
//! books a time, an instant that is as much later as the other time is. Everything else is sent again as it was, byte for byte.

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

/// The server's `log_line_prefix` that [`read`] understands: the backend and its login.
pub const LINE_PREFIX: &str = "@%p@%u@";
/// Characters of an id as text.
const ID_CHARACTERS: usize = 36;
/// How Postgres writes an instant into its log, fraction and minutes of the offset only where there are some.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.f%#z";
/// What Postgres counts instants from, 2000-01-01, in microseconds since 1970.
const EPOCH_US: i64 = 946_684_800_000_000;

/// One statement as it reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The process id of the server's end of the connection.
    pub backend: u32,
    /// Who was logged in.
    pub login: String,
    /// Its text.
    pub sql: String,
    /// Prepared, with parameters apart; else the text is all there was.
    pub prepared: bool,
    /// The parameters as Postgres prints them; `None` is null.
    pub parameters: Vec<Option<String>>,
}

impl Statement {
    /// Whether another statement is the same but for the values of its parameters.
    #[must_use]
    pub fn says_as(&self, other: &Statement) -> bool {
        let nulls = |s: &Statement| s.parameters.iter().map(Option::is_none).collect::<Vec<_>>();
        self.login == other.login
            && self.sql == other.sql
            && self.prepared == other.prepared
            && nulls(self) == nulls(other)
    }

    /// Whether the connection is in no transaction after it, if it was `open` before.
    #[must_use]
    pub fn closes(&self, open: bool) -> bool {
        let sql = self.sql.to_ascii_lowercase();
        if sql == "commit" || sql == "rollback" {
            return true;
        }
        !open && !self.opens()
    }

    /// Whether it begins a transaction.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.sql.to_ascii_lowercase().starts_with("begin")
    }
}

/// Whether two recordings are of the same statements in the same order.
#[must_use]
pub fn agree(one: &[Statement], other: &[Statement]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.says_as(b))
}

/// Transactions one after the other, in the order they began. A program runs some side by side, each in a task of its own; a single
/// worker that held one connection while it waited for another would lock out others who do the same.
///
/// Without the transactions in which a statement has one of `background` in its text: what a program does whether it is called or not.
#[must_use]
pub fn untangle(statements: Vec<Statement>, background: &[&str]) -> Vec<Statement> {
    let mut transactions: Vec<(u32, bool, Vec<Statement>)> = Vec::new();
    for statement in statements {
        let going = transactions
            .iter_mut()
            .find(|(backend, open, _)| *open && *backend == statement.backend);
        if let Some((_, open, all)) = going {
            *open = !statement.closes(true);
            all.push(statement);
        } else {
            let open = !statement.closes(false);
            transactions.push((statement.backend, open, vec![statement]));
        }
    }
    let in_background = |s: &Statement| background.iter().any(|text| s.sql.contains(text));
    transactions
        .into_iter()
        .map(|(_, _, all)| all)
        .filter(|all| !all.iter().any(in_background))
        .flatten()
        .collect()
}

/// Reads the statements in a piece of a server log made with [`LINE_PREFIX`], `log_statement = all` and details on.
///
/// # Errors
/// When a line is not of that shape.
pub fn read(log: &str) -> anyhow::Result<Vec<Statement>> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(entry)) => {
                entry.push('\n');
                entry.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    let mut statements: Vec<Statement> = Vec::new();
    for entry in &entries {
        let Some((backend, login, message)) = parts(entry) else {
            continue;
        };
        if let Some(sql) = message.strip_prefix("LOG:  statement: ") {
            statements.push(statement(backend, login, sql, false)?);
        } else if let Some(named) = message.strip_prefix("LOG:  execute ") {
            let (_, sql) = named.split_once(": ").context("a statement has a name")?;
            statements.push(statement(backend, login, sql, true)?);
        } else if let Some(detail) = message.strip_prefix("DETAIL:  ") {
            let list = detail
                .strip_prefix("parameters: ")
                .or_else(|| detail.strip_prefix("Parameters: "));
            if let (Some(list), Some(last)) = (list, statements.last_mut()) {
                last.parameters =
                    parameters(list).with_context(|| format!("parameters: {list}"))?;
            }
        }
    }
    Ok(statements)
}

fn statement(backend: &str, login: &str, sql: &str, prepared: bool) -> anyhow::Result<Statement> {
    Ok(Statement {
        backend: backend.parse().context("a backend's number")?,
        login: login.to_owned(),
        sql: sql.to_owned(),
        prepared,
        parameters: Vec::new(),
    })
}

fn parts(entry: &str) -> Option<(&str, &str, &str)> {
    let (backend, rest) = entry.strip_prefix('@')?.split_once('@')?;
    let (login, message) = rest.split_once('@')?;
    Some((backend, login, message))
}

/// `$1 = 'it''s', $2 = NULL`.
fn parameters(mut list: &str) -> anyhow::Result<Vec<Option<String>>> {
    let mut all = Vec::new();
    while !list.is_empty() {
        let (name, value) = list.split_once(" = ").context("a parameter has a value")?;
        if name != format!("${}", all.len() + 1) {
            bail!("parameter {name} out of order");
        }
        if let Some(rest) = value.strip_prefix("NULL") {
            all.push(None);
            list = rest;
        } else {
            let (text, rest) = quoted(value).context("a value is quoted")?;
            all.push(Some(text));
            list = rest;
        }
        list = list.strip_prefix(", ").unwrap_or(list);
    }
    Ok(all)
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// The ids that differ between two recordings that [`agree`], as they are in the first, each once.
#[must_use]
pub fn ids_of_one_call(one: &[Statement], other: &[Statement]) -> Vec<Uuid> {
    let mut fresh = Vec::new();
    for (a, b) in one.iter().zip(other) {
        for (a, b) in a.parameters.iter().zip(&b.parameters) {
            let (a, b) = (a.as_deref().unwrap_or(""), b.as_deref().unwrap_or(""));
            for (a, b) in ids(a).into_iter().zip(ids(b)) {
                if a != b && !fresh.contains(&a) {
                    fresh.push(a);
                }
            }
        }
    }
    fresh
}

/// The instants that are later by `apart` in the other of two recordings that [`agree`], as they are in the first and as Postgres sends
/// them (microseconds since 2000-01-01), each once. The time of the recording itself is never `apart` to the microsecond, if that is
/// minutes and not 0.
#[must_use]
pub fn instants_of_one_call(one: &[Statement], other: &[Statement], apart: TimeDelta) -> Vec<i64> {
    let mut fresh = Vec::new();
    for (a, b) in one.iter().zip(other) {
        for (a, b) in a.parameters.iter().zip(&b.parameters) {
            if let (Some(a), Some(b)) = (instant(a.as_deref()), instant(b.as_deref()))
                && Some(b - a) == apart.num_microseconds()
                && !fresh.contains(&a)
            {
                fresh.push(a);
            }
        }
    }
    fresh
}

fn instant(text: Option<&str>) -> Option<i64> {
    let at = DateTime::parse_from_str(text?, INSTANT).ok()?;
    Some(at.timestamp_micros() - EPOCH_US)
}

fn ids(text: &str) -> Vec<Uuid> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + ID_CHARACTERS <= text.len() {
        match text.get(at..at + ID_CHARACTERS).map(Uuid::try_parse) {
            Some(Ok(id)) => {
                found.push(id);
                at += ID_CHARACTERS;
            }
            _ => at += 1,
        }
    }
    found
}

/// The names of one call, or of one replay of it: ids, texts, the instants it is about and the number that was given to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Ids made for the call.
    pub ids: Vec<Uuid>,
    /// Other texts that are its own. A text keeps its length from call to call.
    pub texts: Vec<String>,
    /// Instants that are its own, microseconds since 2000-01-01, found where they stand as parameters by themselves; within a text they
    /// stay those of the recording.
    pub instants: Vec<i64>,
    /// The number of what it makes: a bill, a booking, a payment. Keeps its digits from call to call.
    pub number: Option<i64>,
}

/// A parameter's bytes, and where the names of one call stand in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<(usize, Name)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Id(usize),
    IdAsText(usize),
    Text(usize),
    Instant(usize),
    Number,
    NumberAsText,
}

impl Template {
    /// Finds the names in the binary form of a parameter.
    #[must_use]
    pub fn new(bytes: Vec<u8>, names: &Names) -> Template {
        let mut places = Vec::new();
        let mut look_for = |wanted: &[u8], name| {
            for at in positions(&bytes, wanted) {
                places.push((at, name));
            }
        };
        for (i, id) in names.ids.iter().enumerate() {
            look_for(id.as_bytes(), Name::Id(i));
            look_for(id.to_string().as_bytes(), Name::IdAsText(i));
        }
        for (i, text) in names.texts.iter().enumerate() {
            look_for(text.as_bytes(), Name::Text(i));
        }
        for (i, instant) in names.instants.iter().enumerate() {
            look_for(&instant.to_be_bytes(), Name::Instant(i));
        }
        if let Some(number) = names.number {
            look_for(&number.to_be_bytes(), Name::Number);
            look_for(number.to_string().as_bytes(), Name::NumberAsText);
        }
        Template { bytes, places }
    }

    /// The bytes with other names in the same places. `None` when a name is missing or has another length.
    #[must_use]
    pub fn fill(&self, names: &Names) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        for &(at, name) in &self.places {
            match name {
                Name::Id(i) => put(&mut bytes, at, names.ids.get(i)?.as_bytes())?,
                Name::IdAsText(i) => {
                    let mut text = [0; ID_CHARACTERS];
                    let text = names.ids.get(i)?.hyphenated().encode_lower(&mut text);
                    put(&mut bytes, at, text.as_bytes())?;
                }
                Name::Text(i) => put(&mut bytes, at, names.texts.get(i)?.as_bytes())?,
                Name::Instant(i) => put(&mut bytes, at, &names.instants.get(i)?.to_be_bytes())?,
                Name::Number => put(&mut bytes, at, &names.number?.to_be_bytes())?,
                Name::NumberAsText => put(&mut bytes, at, names.number?.to_string().as_bytes())?,
            }
        }
        Some(bytes)
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + new.len())?.copy_from_slice(new);
    Some(())
}

fn positions(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    if wanted.is_empty() {
        return Vec::new();
    }
    bytes
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, window)| *window == wanted)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "@7@shop@LOG:  statement: begin; set local app.tenant = 'x'\n\
        @9@@LOG:  checkpoint starting: time\n\
        @7@shop@LOG:  execute sqlx_s_2: insert into t (a, b)\n\
        \t         values ($1, $2, $3)\n\
        @7@shop@DETAIL:  parameters: $1 = 'it''s, $2 = ''x''', $2 = NULL, $3 = '{\"a\": 1,\n\
        \t\"b\": 2}'\n\
        @7@shop@LOG:  statement: COMMIT\n";

    #[test]
    fn a_log_is_read_back_as_what_was_sent() {
        let said = read(LOG).unwrap();
        assert_eq!(said.len(), 3);
        assert_eq!(said[0].sql, "begin; set local app.tenant = 'x'");
        assert!(said[0].opens() && !said[0].prepared && said[2].closes(true));
        assert_eq!(
            said[1].sql,
            "insert into t (a, b)\n         values ($1, $2, $3)"
        );
        assert_eq!(
            said[1].parameters,
            [
                Some("it's, $2 = 'x'".to_owned()),
                None,
                Some("{\"a\": 1,\n\"b\": 2}".to_owned())
            ]
        );
        assert!(said[1].closes(false) && !said[1].closes(true));
        assert!(read("@7@shop@LOG:  execute s: x\n@7@shop@DETAIL:  parameters: $2 = '1'").is_err());
    }

    #[test]
    fn transactions_that_ran_side_by_side_come_one_after_the_other_without_those_nobody_called_for()
    {
        let said = |backend, sql: &str| Statement {
            backend,
            sql: sql.to_owned(),
            ..read(LOG).unwrap().remove(0)
        };
        let background = ["the queue", "what is due"];
        let tangled = [
            (1, "BEGIN"),
            (1, "a"),
            (2, "begin; set"),
            (3, "alone"),
            (4, "BEGIN"),
            (5, "select what is due"),
            (1, "b"),
            (4, "d"),
            (4, "update the queue"),
            (2, "c"),
            (2, "ROLLBACK"),
            (4, "COMMIT"),
            (1, "COMMIT"),
            (2, "begin; set"),
        ];
        let tangled = tangled.map(|(b, sql)| said(b, sql)).to_vec();
        let order: Vec<String> = untangle(tangled, &background)
            .into_iter()
            .map(|s| s.sql)
            .collect();
        assert_eq!(
            order,
            [
                "BEGIN",
                "a",
                "b",
                "COMMIT",
                "begin; set",
                "c",
                "ROLLBACK",
                "alone",
                "begin; set"
            ]
        );
    }

    #[test]
    fn recordings_agree_by_statements_and_nulls_not_by_values() {
        let (one, mut other) = (read(LOG).unwrap(), read(LOG).unwrap());
        other[1].parameters[0] = Some("else".to_owned());
        assert!(agree(&one, &other));
        other[1].parameters[1] = Some("not null".to_owned());
        assert!(!agree(&one, &other));
        assert!(!agree(&one, &one[..2]));
    }

    #[test]
    fn names_of_one_call_are_found_and_replaced_wherever_they_stand() {
        let [a, b, same] = [1, 2, 3].map(Uuid::from_u128);
        let with = |id: Uuid| Statement {
            parameters: vec![Some(same.to_string()), Some(format!("run {id}:c1"))],
            ..read(LOG).unwrap().remove(1)
        };
        assert_eq!(ids_of_one_call(&[with(a)], &[with(b)]), [a]);

        let names = |id, text: &str, number| Names {
            ids: vec![id],
            texts: vec![text.to_owned()],
            instants: Vec::new(),
            number: Some(number),
        };
        let bytes = |id: Uuid, text: &str, number: i64| {
            let json =
                format!("{{\"bill\": \"INV-{number}\", \"item\": \"{text}\", \"id\": \"{id}\"}}");
            [
                id.as_bytes().as_slice(),
                json.as_bytes(),
                &number.to_be_bytes(),
            ]
            .concat()
        };
        let template = Template::new(
            bytes(a, "goods01", 1_000_001),
            &names(a, "goods01", 1_000_001),
        );
        let filled = template.fill(&names(b, "goods77", 1_000_099));
        assert_eq!(filled, Some(bytes(b, "goods77", 1_000_099)));
        assert_eq!(template.fill(&Names::default()), None);
    }

    #[test]
    fn the_time_of_a_booking_is_what_moved_with_it() {
        let said = |parameters: [&str; 5]| Statement {
            parameters: parameters.map(|p| Some(p.to_owned())).to_vec(),
            ..read(LOG).unwrap().remove(1)
        };
        let one = said([
            "2026-11-23 00:10:00+00",
            "2026-11-19 23:10:00+00",
            "2026-11-20 19:00:00.120001+00",
            "2026-11-18",
            "2026-11-23 00:10:00+00",
        ]);
        let other = said([
            "2026-11-23 00:20:00+00",
            "2026-11-19 23:20:00+00",
            "2026-11-20 19:00:00.530001+00",
            "2026-11-18",
            "2026-11-23 00:20:00+00",
        ]);
        let apart = TimeDelta::minutes(10);
        let (one, other) = ([one], [other]);
        let moved = instants_of_one_call(&one, &other, apart);
        let day_us = 86_400_000_000;
        // 2026-11-23 is 9823 days after 2000-01-01.
        let start_us = 9_823 * day_us + 600_000_000;
        assert_eq!(moved, [start_us, start_us - 73 * 3_600_000_000]);
        assert!(instants_of_one_call(&one, &other, apart * 2).is_empty());

        let at = |start_us: i64| Names {
            instants: vec![start_us],
            ..Names::default()
        };
        let template = Template::new(start_us.to_be_bytes().to_vec(), &at(start_us));
        let later_us = start_us + day_us;
        let filled = template.fill(&at(later_us));
        assert_eq!(filled, Some(later_us.to_be_bytes().to_vec()));
        assert_eq!(template.fill(&Names::default()), None);
    }
}
