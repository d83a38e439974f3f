//! Whether a call a model wants can be made at all: there is such a tool, and its input schema takes the arguments. Checked before
//! anything runs, for every model; the failure tells the model what to repair.

use std::sync::Arc;

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::Tool as _;
use contracts::tools::confirm::ConfirmAction;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};

use crate::language::Language;
use crate::models::per_list::PerList;
use crate::models::{ToolCall, ToolSpec};

/// Names of tools offered instead of an unknown one.
const NEAREST_MAX: usize = 5;
/// Longest detail of a hint, characters.
const DETAIL_CHARACTERS_MAX: usize = 300;
/// What arguments have to be before anything else.
const NO_OBJECT: &str = "they are no JSON object";
/// A path of more parts than this is nobody's argument.
const PATH_PARTS_MAX: usize = 32;

/// What models may call of every list of tools in use, with the compiled input schemas.
#[derive(Default)]
pub struct Checks(PerList<Check>);

impl Checks {
    /// The checks of a list, compiled when it is first seen.
    pub(crate) fn of(&self, tools: &Arc<Vec<ToolSpec>>) -> Arc<Check> {
        self.0.get(tools, |tools| {
            // A person answers a question; no model of ours has to do with it.
            let callable = tools.iter().filter(|t| t.name != ConfirmAction::NAME);
            let callable: Vec<ToolSpec> = callable.cloned().collect();
            Check {
                validators: callable.iter().map(compiled).collect(),
                tools: Arc::new(callable),
            }
        })
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

/// What models may call of one list of tools.
pub(crate) struct Check {
    /// The tools a model is offered; the same list, at the same address, for all who have the same tools.
    pub(crate) tools: Arc<Vec<ToolSpec>>,
    validators: Vec<Option<Validator>>,
}

impl Check {
    /// Why the call is not made; none when it can be.
    pub(crate) fn refusal(&self, call: &ToolCall, language: Language) -> Option<ToolFailure> {
        let Some(at) = self.tools.iter().position(|t| t.name == call.tool) else {
            return Some(unknown(&call.tool, &self.tools, language.locale()));
        };
        // Whatever the schema says or leaves out: arguments that are no object cannot be sent.
        if !call.arguments.is_object() {
            return Some(refusal(
                "",
                Fault::NotUnderstood,
                NO_OBJECT,
                language.locale(),
            ));
        }
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

/// What is wrong with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Missing,
    NotKnown,
    NotUnderstood,
}

fn refused(error: &ValidationError<'_>, locale: Locale) -> ToolFailure {
    let mut field = path(error.instance_path().as_str());
    let mut inside = |name: &str| {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(name);
    };
    let fault = match error.kind() {
        ValidationErrorKind::Required { property } => {
            inside(property.as_str().unwrap_or_default());
            Fault::Missing
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            inside(unexpected.first().map_or("", String::as_str));
            Fault::NotKnown
        }
        _ => Fault::NotUnderstood,
    };
    refusal(&field, fault, &error.to_string(), locale)
}

/// A sentence for the person, and for the model where it is and what the schema says.
fn refusal(field: &str, fault: Fault, detail: &str, locale: Locale) -> ToolFailure {
    let (en, es) = match fault {
        Fault::Missing => ("is missing.", "falta."),
        Fault::NotKnown => ("is not known here.", "no se conoce aquí."),
        Fault::NotUnderstood => ("cannot be understood.", "no se entiende."),
    };
    let thing = thing(field);
    let message = match (locale, thing.is_empty()) {
        (Locale::En, true) => format!("The request {en}"),
        (Locale::Es, true) => format!("La petición {es}"),
        (Locale::En, false) => format!("“{thing}” {en}"),
        (Locale::Es, false) => format!("«{thing}» {es}"),
    };
    let detail: String = detail.chars().take(DETAIL_CHARACTERS_MAX).collect();
    let named = if field.is_empty() {
        "The arguments".to_owned()
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
        let bill =
            json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}]});
        assert_eq!(refusal("billing_create_bill", bill, Language::En), None);
    }

    #[test]
    fn what_is_wrong_is_named_for_the_person_and_for_the_model() {
        for (arguments, field, message) in [
            (
                json!({"lines": [{"item": "sugar"}]}),
                Some("lines[0].quantity"),
                "“quantity” is missing.",
            ),
            (
                json!({"lines": [{"item": "sugar", "quantity": "two"}]}),
                Some("lines[0].quantity"),
                "“quantity” cannot be understood.",
            ),
            (
                json!({"lines": [], "client": "Ali"}),
                Some("client"),
                "“client” is not known here.",
            ),
            (
                json!({"lines": "sugar"}),
                Some("lines"),
                "“lines” cannot be understood.",
            ),
            (json!({}), Some("lines"), "“lines” is missing."),
            (
                json!("{\"lines\": ["),
                None,
                "The request cannot be understood.",
            ),
        ] {
            let failure = refusal("billing_create_bill", arguments.clone(), Language::En).unwrap();
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(
                (failure.field.as_deref(), failure.message.as_str()),
                (field, message),
                "{arguments}"
            );
            assert!(
                failure.hint.contains(field.unwrap_or("JSON object")),
                "{}",
                failure.hint
            );
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
            &ToolCall {
                id: String::new(),
                tool: "x".to_owned(),
                arguments: json!({}),
            },
            Language::En,
        );
        assert!(none.unwrap().hint.contains("no tools"));
    }

    #[test]
    fn no_model_is_offered_to_confirm() {
        let has = |tools: &[ToolSpec]| tools.iter().any(|t| t.name == ConfirmAction::NAME);
        assert!(has(&tools()));
        assert!(!has(&Checks::default().of(&tools()).tools));
        let refused = refusal(
            ConfirmAction::NAME,
            json!({"confirmation_id": "x"}),
            Language::En,
        );
        assert_eq!(refused.unwrap().code, FailureCode::NotAllowed);
    }

    #[test]
    fn a_broken_schema_leaves_the_check_of_an_object_to_its_server() {
        let broken = ToolSpec {
            input_schema: json!({"type": 7}),
            ..tools()[0].clone()
        };
        let call = |arguments| ToolCall {
            id: String::new(),
            tool: broken.name.clone(),
            arguments,
        };
        let check = Checks::default().of(&Arc::new(vec![broken.clone()]));
        assert_eq!(check.refusal(&call(json!({"n": 3})), Language::En), None);
        assert!(check.refusal(&call(json!(3)), Language::En).is_some());
    }
}
