//! Every tool by name, each with the functions its effect calls for. Built once from the one list in `contracts`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::{Commit, Read, Tool, ToolSheet, Write, sheet};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::confirmation::Policy;
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Open, Prepared, ReadTool, WriteTool};

/// An effect and its trace, untyped.
pub(crate) type Outcome = Effected<Value>;
/// A preview, untyped.
pub(crate) type Preview = Prepared<()>;
/// What the yes does.
pub(crate) enum Agreed {
    /// Done as agreed.
    Done(Outcome),
    /// The binding part has changed.
    Changed,
}

/// Answers with JSON that is written straight from the tool's type: nothing looks into it on its way to the client.
type ReadFn = for<'a, 'c> fn(&'a mut Call<'c>, Value) -> BoxFuture<'a, Result<String, CallError>>;
type WriteFn = for<'a, 'c> fn(&'a mut Call<'c>, Value) -> BoxFuture<'a, Result<Outcome, CallError>>;
type PrepareFn = for<'a, 'c> fn(
    &'a mut Call<'c>,
    Value,
    Policy,
    Open,
) -> BoxFuture<'a, Result<Preview, CallError>>;
type ExecuteFn = for<'a, 'c> fn(
    &'a mut Call<'c>,
    Value,
    Option<[u8; 32]>,
) -> BoxFuture<'a, Result<Agreed, CallError>>;
type ReleaseFn =
    fn(&mut PgConnection, Uuid, Uuid, DateTime<Utc>) -> BoxFuture<'_, Result<(), CallError>>;

/// The functions of a tool, by its effect.
#[derive(Clone, Copy)]
pub(crate) enum Runner {
    /// Answers.
    Read(ReadFn),
    /// Does.
    Write(WriteFn),
    /// Asks, and does once agreed.
    Commit {
        /// The question; where the policy asks it, what it is about is held.
        prepare: PrepareFn,
        /// The effect: prepares again and compares with the digest of what was agreed to.
        execute: ExecuteFn,
        /// Gives back what was held for a question, by tenant and question.
        release: ReleaseFn,
    },
}

/// One tool.
pub(crate) struct Route {
    pub(crate) sheet: ToolSheet,
    pub(crate) runner: Runner,
    /// Reads the arguments into the tool's type and back: one spelling for equal arguments.
    pub(crate) normalize: fn(Value, Locale) -> Result<Value, ToolFailure>,
    /// `tool:<name>`, for [`crate::app::Hooks`].
    pub(crate) place: &'static str,
    /// `committed:<name>`.
    pub(crate) committed: &'static str,
}

/// A tool with a handler for its effect. A tool in the list that has none does not compile.
pub(crate) trait Runnable<Kind>: Tool {
    const RUNNER: Runner;
}

impl<T: ReadTool> Runnable<Read> for T {
    const RUNNER: Runner = Runner::Read(|call, arguments| {
        async move { written(&T::read(call, decode::<T>(arguments)?).await?) }.boxed()
    });
}

impl<T: WriteTool> Runnable<Write> for T {
    const RUNNER: Runner = Runner::Write(|call, arguments| {
        async move { untyped(T::write(call, decode::<T>(arguments)?).await?) }.boxed()
    });
}

impl<T: CommitTool> Runnable<Commit> for T {
    const RUNNER: Runner = Runner::Commit {
        prepare: |call, arguments, policy, open| {
            async move {
                let prepared = T::prepare(call, &decode::<T>(arguments)?).await?;
                if policy.asks(prepared.total) {
                    T::hold(call, &prepared.plan, open).await?;
                }
                Ok(without_plan(prepared).0)
            }
            .boxed()
        },
        execute: |call, arguments, agreed| {
            async move {
                let input = decode::<T>(arguments)?;
                let (preview, plan) = without_plan(T::prepare(call, &input).await?);
                if agreed.is_some_and(|digest| digest != crate::canonical::digest(&preview.binding))
                {
                    return Ok(Agreed::Changed);
                }
                untyped(T::execute(call, input, plan).await?).map(Agreed::Done)
            }
            .boxed()
        },
        release: |conn, tenant, confirmation_id, now| {
            async move { T::release(conn, tenant, confirmation_id, now).await }.boxed()
        },
    };
}

fn without_plan<P>(prepared: Prepared<P>) -> (Preview, P) {
    let Prepared {
        plan,
        message,
        lines,
        total,
        binding,
        informative,
    } = prepared;
    (
        Prepared {
            plan: (),
            message,
            lines,
            total,
            binding,
            informative,
        },
        plan,
    )
}

fn untyped<O: Serialize>(done: Effected<O>) -> Result<Outcome, CallError> {
    let Effected {
        output,
        audit: Audit {
            subject,
            before,
            after,
        },
        events,
    } = done;
    Ok(Effected {
        output: encode(&output)?,
        audit: Audit {
            subject,
            before,
            after,
        },
        events,
    })
}

fn encode<O: Serialize>(output: &O) -> Result<Value, CallError> {
    serde_json::to_value(output).map_err(|e| CallError::Broken(format!("result: {e}")))
}

fn written<O: Serialize>(output: &O) -> Result<String, CallError> {
    serde_json::to_string(output).map_err(|e| CallError::Broken(format!("result: {e}")))
}

/// The arguments were normalized before, so a failure here is ours.
fn decode<T: Tool>(arguments: Value) -> Result<T::Input, CallError> {
    serde_json::from_value(arguments)
        .map_err(|e| CallError::Broken(format!("arguments of {}: {e}", T::NAME)))
}

fn normalize<I: DeserializeOwned + Serialize>(
    arguments: Value,
    locale: Locale,
) -> Result<Value, ToolFailure> {
    let input: I = serde_path_to_error::deserialize(arguments).map_err(|e| {
        let path = e.path().to_string();
        let field = if path == "." {
            missing_field(&e.inner().to_string())
        } else {
            Some(path)
        };
        invalid(&e.inner().to_string(), field, locale)
    })?;
    serde_json::to_value(&input).map_err(|e| invalid(&e.to_string(), None, locale))
}

/// Refuses a list where the schema has an object: serde would read it as the object's members in their order, and what a client got
/// wrong would be done.
pub(crate) fn shaped(
    schema: &Map<String, Value>,
    arguments: &Map<String, Value>,
    locale: Locale,
) -> Result<(), ToolFailure> {
    match first_list_for_object(schema.get("properties"), arguments, "") {
        Some(path) => Err(invalid(
            "it is an object with named members, not a list",
            Some(path),
            locale,
        )),
        None => Ok(()),
    }
}

/// Goes as deep as the schema does.
fn first_list_for_object(
    properties: Option<&Value>,
    object: &Map<String, Value>,
    path: &str,
) -> Option<String> {
    let dot = if path.is_empty() { "" } else { "." };
    object.iter().find_map(|(name, value)| {
        misshapen(properties?.get(name)?, value, &format!("{path}{dot}{name}"))
    })
}

fn misshapen(schema: &Value, value: &Value, path: &str) -> Option<String> {
    match (schema.get("type")?.as_str()?, value) {
        ("object", Value::Array(_)) => Some(path.to_owned()),
        ("object", Value::Object(inner)) => {
            first_list_for_object(schema.get("properties"), inner, path)
        }
        ("array", Value::Array(items)) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| misshapen(schema.get("items")?, item, &format!("{path}[{i}]"))),
        _ => None,
    }
}

/// serde names a missing or unknown member only in its sentence.
fn missing_field(sentence: &str) -> Option<String> {
    sentence
        .split('`')
        .nth(1)
        .filter(|_| sentence.starts_with("missing field") || sentence.starts_with("unknown field"))
        .map(str::to_owned)
}

/// The failure for arguments that are not what the schema says.
pub(crate) fn invalid(detail: &str, field: Option<String>, locale: Locale) -> ToolFailure {
    let message = sentence(detail, field.as_deref(), locale);
    let said = |hint: String| ToolFailure::new(FailureCode::InvalidArguments, message, hint);
    match field {
        Some(field) => said(format!(
            "Correct {field} as its description says and call again."
        ))
        .at(field),
        None => said("Correct the arguments as their descriptions say and call again.".to_owned()),
    }
}

/// What is wrong, for a person: the path of the argument is for programs and stays in `field`.
fn sentence(detail: &str, field: Option<&str>, locale: Locale) -> String {
    if let Some(name) = missing_field(detail) {
        let word = plain_word(&name, locale);
        return match (locale, detail.starts_with("missing field")) {
            (Locale::En, true) => format!("Something is missing: {word}."),
            (Locale::Es, true) => format!("Falta algo: {word}."),
            (Locale::En, false) => format!("This cannot be given here: {word}."),
            (Locale::Es, false) => format!("Esto no se puede indicar aquí: {word}."),
        };
    }
    // The reasons why a number is refused are sentences of their own, which begin with the number.
    if detail.starts_with('`') {
        return match locale {
            Locale::En => format!("{detail}."),
            Locale::Es => format!("{}.", number_reason_in_spanish(detail)),
        };
    }
    match (locale, field.map(|f| plain_word(f, locale))) {
        (Locale::En, Some(word)) => format!("The {word} is not valid: {detail}."),
        (Locale::Es, Some(word)) => format!("Esto no es válido como {word}: {detail}."),
        (Locale::En, None) => format!("This cannot be read: {detail}."),
        (Locale::Es, None) => format!("Esto no se puede leer: {detail}."),
    }
}

/// The last step of a path, as a person calls it: `lines[0].unit_price` is the price.
fn plain_word(path: &str, locale: Locale) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let name = last.split('[').next().unwrap_or(last);
    let spanish = match name {
        "quantity" | "delta" => "cantidad",
        "unit" | "quantity_unit" => "unidad",
        "unit_price" => "precio",
        "item" => "producto",
        "items" => "productos",
        "name" => "nombre",
        "category" => "categoría",
        "customer" => "cliente",
        "lines" => "líneas",
        "bill" => "factura",
        "discount" => "descuento",
        "currency" => "moneda",
        "payment" => "pago",
        "amount" => "importe",
        "method" => "forma de pago",
        "due_on" => "fecha de vencimiento",
        "reason" => "motivo",
        "low_stock_level" => "nivel de existencias bajas",
        _ => "",
    };
    match (locale, name) {
        (Locale::Es, _) if !spanish.is_empty() => spanish.to_owned(),
        (Locale::En, "delta") => "quantity".to_owned(),
        (Locale::En, "due_on") => "due date".to_owned(),
        _ => name.replace('_', " "),
    }
}

/// The number with the reason of [`contracts::quantity::NotExact`] after it.
fn number_reason_in_spanish(detail: &str) -> String {
    detail
        .replace(
            "is not a plain decimal number: use digits and at most one point, such as",
            "no es un número decimal simple: use cifras y un punto como máximo, por ejemplo",
        )
        .replace(
            "is too precise: at most six decimals",
            "es demasiado preciso: seis decimales como máximo",
        )
        .replace(
            "is too large: at most twelve digits before the point",
            "es demasiado grande: doce cifras antes del punto como máximo",
        )
}

macro_rules! routes {
    ($($tool:ty),* $(,)?) => {
        [$((
            <$tool as Tool>::NAME,
            Route {
                sheet: sheet::<$tool>(),
                runner: <$tool as Runnable<<$tool as Tool>::Kind>>::RUNNER,
                normalize: normalize::<<$tool as Tool>::Input>,
                place: leak("tool:", <$tool as Tool>::NAME),
                committed: leak("committed:", <$tool as Tool>::NAME),
            },
        )),*]
    };
}

/// Once per tool and process: names of places live as long as the routes.
fn leak(kind: &str, name: &str) -> &'static str {
    Box::leak(format!("{kind}{name}").into_boxed_str())
}

/// Every tool by name.
pub(crate) fn routes() -> BTreeMap<&'static str, Route> {
    BTreeMap::from(contracts::every_tool!(routes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(arguments: Value, locale: Locale) -> (String, Option<String>) {
        let bill = &routes()["billing_create_bill"];
        let failure = (bill.normalize)(arguments, locale).unwrap_err();
        (failure.message, failure.field)
    }

    #[test]
    fn a_person_is_told_what_is_wrong_and_a_program_where() {
        let large =
            json!({"customer": "Ali", "lines": [{"item": "eggs", "quantity": "1000000000000"}]});
        let field = Some("lines[0].quantity".to_owned());
        assert_eq!(
            refused(large.clone(), Locale::En),
            (
                "`1000000000000` is too large: at most twelve digits before the point.".to_owned(),
                field.clone()
            )
        );
        assert_eq!(
            refused(large, Locale::Es),
            (
                "`1000000000000` es demasiado grande: doce cifras antes del punto como máximo."
                    .to_owned(),
                field
            )
        );
        let lacking = json!({"customer": "Ali", "lines": [{"item": "eggs"}]});
        assert_eq!(
            refused(lacking.clone(), Locale::En).0,
            "Something is missing: quantity."
        );
        assert_eq!(refused(lacking, Locale::Es).0, "Falta algo: cantidad.");
        assert_eq!(
            refused(json!({"customer": "Ali"}), Locale::En),
            (
                "Something is missing: lines.".to_owned(),
                Some("lines".to_owned())
            )
        );
        let (message, field) = refused(
            json!({"customer": "Ali", "lines": [{"item": "eggs", "quantity": "1", "unit_price": "x"}]}),
            Locale::En,
        );
        assert_eq!(field.as_deref(), Some("lines[0].unit_price"));
        assert!(
            message.starts_with("`x` is not a plain decimal number"),
            "{message}"
        );
        let (message, _) = refused(json!({"customer": 7, "lines": []}), Locale::En);
        assert!(
            message.starts_with("The customer is not valid: "),
            "{message}"
        );
    }

    #[test]
    fn no_reason_for_a_number_is_left_in_english() {
        for text in ["x", "1.1234567", "1000000000000"] {
            let english = text
                .parse::<contracts::quantity::Exact>()
                .unwrap_err()
                .to_string();
            assert_ne!(number_reason_in_spanish(&english), english);
        }
    }
}
