//! The agent's own question about a call of a server that is not ours. Built here from the call itself, never from words of the server.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::confirmation::{Approver, PreviewLine, Question};
use contracts::locale::Locale;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cleaning;
use crate::models::ToolCall;

/// How long a person has to answer.
const ANSWER_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// Longest argument in the sentence, characters.
const ARGUMENT_CHARACTERS_MAX: usize = 100;
/// All arguments in the sentence, characters.
const ARGUMENTS_CHARACTERS_MAX: usize = 400;
/// Longest argument in the preview, characters.
const LINE_CHARACTERS_MAX: usize = 1000;
/// Lines of a preview.
const LINES_MAX: usize = 50;

/// Asks whether `call` is really to be made. `title` is the server's, cleaned; the arguments are what will be sent.
pub(crate) fn about(
    call: &ToolCall,
    (server, title): (&str, &str),
    asker: &str,
    locale: Locale,
    id: Uuid,
    now: DateTime<Utc>,
) -> Question {
    let mut lines = vec![PreviewLine {
        text: call.tool.clone(),
        amount: None,
    }];
    lines.extend(
        arguments(&call.arguments, LINE_CHARACTERS_MAX)
            .take(LINES_MAX)
            .map(|text| PreviewLine { text, amount: None }),
    );
    Question {
        id,
        tool: call.tool.clone(),
        message: sentence(&call.arguments, server, title, locale),
        lines,
        total: None,
        binding: json!({"server": server, "tool": call.tool, "arguments": call.arguments}),
        informative: Value::Null,
        approver: Approver::Asker,
        requested_by: asker.to_owned(),
        expires_at: now + ANSWER_WITHIN,
    }
}

fn sentence(given: &Value, server: &str, title: &str, locale: Locale) -> String {
    let said: Vec<String> = arguments(given, ARGUMENT_CHARACTERS_MAX).collect();
    let with = cleaning::cut(&said.join(", "), ARGUMENTS_CHARACTERS_MAX);
    match (locale, with.is_empty()) {
        (Locale::En, false) => format!(
            "Are you sure you want to run “{title}” ({server}) with {with}? Reply 'yes' to confirm."
        ),
        (Locale::En, true) => {
            format!("Are you sure you want to run “{title}” ({server})? Reply 'yes' to confirm.")
        }
        (Locale::Es, false) => format!(
            "¿Seguro que quieres ejecutar “{title}” ({server}) con {with}? Responde 'sí' para confirmar."
        ),
        (Locale::Es, true) => format!(
            "¿Seguro que quieres ejecutar “{title}” ({server})? Responde 'sí' para confirmar."
        ),
    }
}

/// `name: value` of each argument; a text stands in quotes, so that it cannot pass for another argument.
fn arguments(given: &Value, characters_max: usize) -> impl Iterator<Item = String> {
    let members = given.as_object().into_iter().flatten();
    members.map(move |(name, value)| {
        let shown = cleaning::line(
            &cleaning::plain_value(value.clone()).to_string(),
            usize::MAX,
        );
        let mut shown = cleaning::cut(&shown, characters_max);
        if value.is_string() && shown.ends_with('…') {
            shown.push('"');
        }
        format!("{}: {shown}", cleaning::line(name, ARGUMENT_CHARACTERS_MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(arguments: Value, locale: Locale) -> Question {
        let call = ToolCall {
            id: "c".to_owned(),
            tool: "crm.charge".to_owned(),
            arguments,
        };
        let now = DateTime::UNIX_EPOCH;
        about(
            &call,
            ("crm", "Charge a card"),
            "ana",
            locale,
            Uuid::nil(),
            now,
        )
    }

    #[test]
    fn the_question_says_what_will_be_sent() {
        let asked = ask(json!({"customer": "Ali", "cents": 500}), Locale::En);
        assert_eq!(
            asked.message,
            "Are you sure you want to run “Charge a card” (crm) with cents: 500, customer: \"Ali\"? Reply 'yes' to confirm."
        );
        assert_eq!(asked.expires_at, DateTime::UNIX_EPOCH + ANSWER_WITHIN);
        assert_eq!(
            (asked.approver, asked.requested_by.as_str()),
            (Approver::Asker, "ana")
        );
        let lines: Vec<_> = asked.lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(lines, ["crm.charge", "cents: 500", "customer: \"Ali\""]);
        assert_eq!(
            ask(json!({}), Locale::Es).message,
            "¿Seguro que quieres ejecutar “Charge a card” (crm)? Responde 'sí' para confirmar."
        );
    }

    #[test]
    fn an_argument_cannot_pass_for_another_or_hide() {
        let asked = ask(json!({"note": "x\", cents: 1\u{202e}\n\u{7}?"}), Locale::En);
        assert!(
            asked
                .message
                .contains(r#"with note: "x\", cents: 1\n?"? Reply"#),
            "{}",
            asked.message
        );
        let long = ask(json!({"a": "x".repeat(10_000), "z": "end"}), Locale::En);
        assert!(long.message.contains("…\", z: \"end\""), "{}", long.message);
        let many: serde_json::Map<_, _> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
        let asked = ask(Value::Object(many), Locale::En);
        assert!(asked.message.chars().count() < 600);
        assert_eq!(asked.lines.len(), LINES_MAX + 1);
    }
}
