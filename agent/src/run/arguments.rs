//! Whether a call a model wants can be made at all: there is such a tool, and its input schema takes the arguments. Checked before
//! anything runs, for every model; the failure tells the model what to repair.

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use std::sync::Arc;

use crate::language::Language;
use crate::models::per_list::PerList;
use crate::models::{ToolCall, ToolSpec};

/// Names of tools offered instead of an unknown one.
const NEAREST_MAX: usize = 5;
/// Longest detail of a hint, characters.
const DETAIL_CHARACTERS_MAX: usize = 300;
/// A path of more parts than this is nobody's argument.
const PATH_PARTS_MAX: usize = 32;

/// The compiled input schemas of every list of tools in use.
#[derive(Default)]
pub struct Checks(PerList<Vec<Option<Validator>>>);

impl Checks {
    /// The checks of a list, compiled when it is first seen.
    pub(crate) fn of(&self, tools: &Arc<Vec<ToolSpec>>) -> Check {
        Check {
            validators: self.0.get(tools, |tools| tools.iter().map(compiled).collect()),
            tools: Arc::clone(tools),
        }
    }
}

/// A tool whose schema cannot be compiled is another server's mistake; that server checks for itself.
fn compiled(tool: &ToolSpec) -> Option<Validator> {
    jsonschema::validator_for(&tool.input_schema)
        .inspect_err(|error| {
            tracing::warn!(tool = tool.name, %error, "the tool's input schema is broken: its calls are not checked here");
        })
        .ok()
}

/// The checks of one list of tools.
pub(crate) struct Check {
    tools: Arc<Vec<ToolSpec>>,
    validators: Arc<Vec<Option<Validator>>>,
}

impl Check {
    /// Why the call is not made; none when it can be.
    pub(crate) fn refusal(&self, call: &ToolCall, language: Language) -> Option<ToolFailure> {
        let Some(at) = self.tools.iter().position(|t| t.name == call.tool) else {
            return Some(unknown(&call.tool, &self.tools, language.locale()));
        };
        let validator = self.validators.get(at)?.as_ref()?;
        let error = validator.iter_errors(&call.arguments).next()?;
        Some(refused(&error, language.locale()))
    }
}

fn unknown(name: &str, tools: &[ToolSpec], locale: Locale) -> ToolFailure {
    let mut nearest: Vec<(f64, &str)> = tools
        .iter()
        .map(|t| (strsim::jaro_winkler(name, &t.name), t.name.as_str()))
        .collect();
    nearest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let names: Vec<&str> = nearest
        .into_iter()
        .take(NEAREST_MAX)
        .map(|(_, name)| name)
        .collect();
    let message = match locale {
        Locale::En => "That is not something I can do here.",
        Locale::Es => "Eso no lo puedo hacer aquí.",
    };
    let hint = if names.is_empty() {
        "There are no tools. Answer without one.".to_owned()
    } else {
        format!(
            "There is no tool of that name. The nearest are: {}. Call one of those, or answer without a tool.",
            names.join(", ")
        )
    };
    let candidates = names.into_iter().map(|name| Candidate {
        name: name.to_owned(),
        ..Candidate::default()
    });
    ToolFailure::new(FailureCode::NotAllowed, message, hint).offering(candidates.collect())
}

fn refused(error: &ValidationError<'_>, locale: Locale) -> ToolFailure {
    let mut field = path(error.instance_path().as_str());
    let mut inside = |name: &str| {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(name);
    };
    let (en, es) = match error.kind() {
        ValidationErrorKind::Required { property } => {
            inside(property.as_str().unwrap_or_default());
            ("is missing.", "falta.")
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            inside(unexpected.first().map_or("", String::as_str));
            ("is not known here.", "no se conoce aquí.")
        }
        _ => ("cannot be understood.", "no se entiende."),
    };
    let thing = thing(&field);
    let message = match (locale, thing.is_empty()) {
        (Locale::En, true) => format!("The request {en}"),
        (Locale::Es, true) => format!("La petición {es}"),
        (Locale::En, false) => format!("“{thing}” {en}"),
        (Locale::Es, false) => format!("«{thing}» {es}"),
    };
    let detail: String = error
        .to_string()
        .chars()
        .take(DETAIL_CHARACTERS_MAX)
        .collect();
    let named = if field.is_empty() {
        "The arguments must be one JSON object".to_owned()
    } else {
        format!("Argument `{field}`")
    };
    let hint = format!(
        "{named}: {detail}. Correct it by the tool's input schema and call again, or ask the person for it."
    );
    let failure = ToolFailure::new(FailureCode::InvalidArguments, message, hint);
    if field.is_empty() {
        failure
    } else {
        failure.at(field)
    }
}

/// A JSON pointer as arguments are named: `/lines/0/quantity` is `lines[0].quantity`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1).take(PATH_PARTS_MAX) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.parse::<u32>().is_ok() {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
    }
    path
}

/// The last name of a path as words a person knows: `lines[0].unit_price` is "unit price".
fn thing(field: &str) -> String {
    let name = field.rsplit('.').next().unwrap_or_default();
    let name = name.split('[').next().unwrap_or_default();
    name.chars()
        .filter(|c| !c.is_control())
        .map(|c| if c == '_' { ' ' } else { c })
        .take(60)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tools() -> Arc<Vec<ToolSpec>> {
        let text = include_str!("../../../contracts/mcp-tools.json");
        let tools: Vec<Value> = serde_json::from_str(text).unwrap();
        let specs = tools.into_iter().map(|tool| ToolSpec {
            name: tool["name"].as_str().unwrap().to_owned(),
            title: String::new(),
            description: String::new(),
            input_schema: tool["inputSchema"].clone(),
            read_only: false,
        });
        Arc::new(specs.collect())
    }

    fn refusal(tool: &str, arguments: Value, language: Language) -> Option<ToolFailure> {
        let call = ToolCall {
            id: "1".to_owned(),
            tool: tool.to_owned(),
            arguments,
        };
        Checks::default().of(&tools()).refusal(&call, language)
    }

    #[test]
    fn a_call_the_schema_takes_is_made() {
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}]});
        assert_eq!(refusal("billing_create_bill", bill, Language::En), None);
    }

    #[test]
    fn what_is_wrong_is_named_for_the_person_and_for_the_model() {
        for (arguments, field, message) in [
            (json!({"lines": [{"item": "sugar"}]}), Some("lines[0].quantity"), "“quantity” is missing."),
            (json!({"lines": [{"item": "sugar", "quantity": "two"}]}), Some("lines[0].quantity"), "“quantity” cannot be understood."),
            (json!({"lines": [], "client": "Ali"}), Some("client"), "“client” is not known here."),
            (json!({"lines": "sugar"}), Some("lines"), "“lines” cannot be understood."),
            (json!({}), Some("lines"), "“lines” is missing."),
            (json!("{\"lines\": ["), None, "The request cannot be understood."),
        ] {
            let failure = refusal("billing_create_bill", arguments.clone(), Language::En).unwrap();
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!((failure.field.as_deref(), failure.message.as_str()), (field, message), "{arguments}");
            assert!(failure.hint.contains(field.unwrap_or("JSON object")), "{}", failure.hint);
        }
        let es = refusal("billing_create_bill", json!({}), Language::Es).unwrap();
        assert_eq!(es.message, "«lines» falta.");
    }

    #[test]
    fn an_unknown_tool_is_answered_with_the_nearest() {
        let failure = refusal("inventory_list_item", json!({}), Language::En).unwrap();
        assert_eq!(failure.code, FailureCode::NotAllowed);
        assert_eq!(failure.candidates[0].name, "inventory_list_items");
        assert!(failure.hint.contains("inventory_list_items"));
        let none = Checks::default().of(&Arc::new(Vec::new())).refusal(
            &ToolCall { id: String::new(), tool: "x".to_owned(), arguments: json!({}) },
            Language::En,
        );
        assert!(none.unwrap().hint.contains("no tools"));
    }

    #[test]
    fn a_broken_schema_leaves_the_check_to_its_server() {
        let broken = ToolSpec {
            input_schema: json!({"type": 7}),
            ..tools()[0].clone()
        };
        let call = ToolCall { id: String::new(), tool: broken.name.clone(), arguments: json!(3) };
        assert_eq!(Checks::default().of(&Arc::new(vec![broken])).refusal(&call, Language::En), None);
    }
}
