//! What became of a call, as the text of a `tool` message: JSON a model can use, and what it means in a plain sentence.

use serde::Serialize;
use serde_json::{Value, json};

use crate::models::ToolOutcome;

/// Longest text of one outcome, bytes. A longer one is cut: the model reads its beginning, where the summary stands.
pub(super) const OUTCOME_BYTES_MAX: usize = 16 * 1024;

const FAILED: &str = "Nothing was done.";
const DENIED: &str = "The person said no. Nothing was done. Do not make this call again unless the person asks for it anew.";
const EXPIRED: &str = "Nobody answered the question in time. Nothing was done. Do not make this call again unless the person asks for it anew.";
const SUPERSEDED: &str = "The person changed the request instead of answering. Nothing was done. The change is the next message: do what it \
    says, and do not make this call again as it was.";
const UNKNOWN: &str = "It was sent and no answer came back, so it is not known whether it was done. Staff will look into it. Say so; do not \
    make this call again, and do not say that it was done or not done.";

/// A result and its summary first, so that a cut text still holds it.
#[derive(Serialize)]
struct Done<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Value>,
    result: &'a Value,
}

/// The text a model reads.
pub(super) fn text(outcome: &ToolOutcome) -> String {
    let text = match outcome {
        ToolOutcome::Done { result } => serde_json::to_string(&Done {
            status: "done",
            summary: result.get("summary"),
            result,
        })
        .unwrap_or_default(),
        ToolOutcome::Failed { failure } => {
            let mut told = serde_json::to_value(failure).unwrap_or_default();
            told["status"] = json!("failed");
            told["meaning"] = json!(FAILED);
            told.to_string()
        }
        ToolOutcome::Denied {
            reason: Some(reason),
        } => json!({"status": "denied", "reason": reason, "meaning": DENIED}).to_string(),
        ToolOutcome::Denied { reason: None } => over("denied", DENIED),
        ToolOutcome::Expired => over("expired", EXPIRED),
        ToolOutcome::Superseded => over("superseded", SUPERSEDED),
        ToolOutcome::Unknown => over("unknown", UNKNOWN),
    };
    cut(text)
}

fn over(status: &str, meaning: &str) -> String {
    json!({"status": status, "meaning": meaning}).to_string()
}

fn cut(mut text: String) -> String {
    if text.len() <= OUTCOME_BYTES_MAX {
        return text;
    }
    let whole = text.len();
    text.truncate(text.floor_char_boundary(OUTCOME_BYTES_MAX));
    text.push_str(&format!(
        "\n[Cut here: this is the beginning of {whole} bytes. Ask for less at once to see the rest.]"
    ));
    text
}

#[cfg(test)]
mod tests {
    use contracts::failure::{Candidate, FailureCode, ToolFailure};

    use super::*;

    fn read(outcome: &ToolOutcome) -> Value {
        serde_json::from_str(&text(outcome)).unwrap()
    }

    #[test]
    fn every_outcome_says_what_it_is_and_what_it_means() {
        let done = read(&ToolOutcome::Done {
            result: json!({"summary": "Billed.", "bill": {"number": 7}}),
        });
        assert_eq!(done["status"], "done");
        assert_eq!(done["summary"], "Billed.");
        assert_eq!(done["result"]["bill"]["number"], 7);

        let failure =
            ToolFailure::new(FailureCode::UnknownItem, "No item sugra.", "Ask which one.")
                .at("item")
                .offering(vec![Candidate {
                    name: "sugar".to_owned(),
                    ..Candidate::default()
                }]);
        let failed = read(&ToolOutcome::Failed { failure });
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["code"], "unknown_item");
        assert_eq!(failed["hint"], "Ask which one.");
        assert_eq!(failed["candidates"][0]["name"], "sugar");

        for (outcome, status, word) in [
            (ToolOutcome::Denied { reason: None }, "denied", "said no"),
            (ToolOutcome::Expired, "expired", "in time"),
            (ToolOutcome::Superseded, "superseded", "changed"),
            (ToolOutcome::Unknown, "unknown", "not known"),
        ] {
            let told = read(&outcome);
            assert_eq!(told["status"], status);
            let meaning = told["meaning"].as_str().unwrap();
            assert!(
                meaning.contains(word) && meaning.contains("not make this call again"),
                "{meaning}"
            );
        }
        let reason = Some("too dear".to_owned());
        assert_eq!(read(&ToolOutcome::Denied { reason })["reason"], "too dear");
    }

    #[test]
    fn a_long_result_is_cut_between_characters_and_says_so() {
        for shift in 0..4 {
            let result = json!({"items": format!("{}{}", "x".repeat(shift), "€".repeat(20_000)), "summary": "All of it."});
            let told = text(&ToolOutcome::Done { result });
            assert!(told.len() < OUTCOME_BYTES_MAX + 200);
            assert!(told.starts_with(r#"{"status":"done","summary":"All of it.""#));
            assert!(told.ends_with("to see the rest.]"));
        }
    }
}
