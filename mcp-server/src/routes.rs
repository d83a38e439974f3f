//! Every tool by name, each with the functions its effect calls for. Built once from the one list in `contracts`.

use std::collections::BTreeMap;

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::{Commit, Read, Tool, ToolSheet, Write, sheet};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared, ReadTool, WriteTool};

/// An effect and its trace, untyped.
pub(crate) type Outcome = Effected<Value>;
/// A preview, untyped.
pub(crate) type Preview = Prepared<()>;
/// What the yes does: `None` when what was agreed to is no longer true, with the new preview.
pub(crate) enum Agreed {
    /// Done as agreed.
    Done(Outcome),
    /// The binding part has changed.
    Changed(Preview),
}

type ReadFn = for<'a, 'c> fn(&'a mut Call<'c>, Value) -> BoxFuture<'a, Result<Value, CallError>>;
type WriteFn = for<'a, 'c> fn(&'a mut Call<'c>, Value) -> BoxFuture<'a, Result<Outcome, CallError>>;
type PrepareFn =
    for<'a, 'c> fn(&'a mut Call<'c>, Value) -> BoxFuture<'a, Result<Preview, CallError>>;
type ExecuteFn = for<'a, 'c> fn(
    &'a mut Call<'c>,
    Value,
    Option<[u8; 32]>,
) -> BoxFuture<'a, Result<Agreed, CallError>>;

/// The functions of a tool, by its effect.
#[derive(Clone, Copy)]
pub(crate) enum Runner {
    /// Answers.
    Read(ReadFn),
    /// Does.
    Write(WriteFn),
    /// Asks, and does once agreed.
    Commit {
        /// The question.
        prepare: PrepareFn,
        /// The effect: prepares again and compares with the digest of what was agreed to.
        execute: ExecuteFn,
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
        async move { encode(&T::read(call, decode::<T>(arguments)?).await?) }.boxed()
    });
}

impl<T: WriteTool> Runnable<Write> for T {
    const RUNNER: Runner = Runner::Write(|call, arguments| {
        async move { untyped(T::write(call, decode::<T>(arguments)?).await?) }.boxed()
    });
}

impl<T: CommitTool> Runnable<Commit> for T {
    const RUNNER: Runner = Runner::Commit {
        prepare: |call, arguments| {
            async move { Ok(without_plan(T::prepare(call, &decode::<T>(arguments)?).await?).0) }
                .boxed()
        },
        execute: |call, arguments, agreed| {
            async move {
                let input = decode::<T>(arguments)?;
                let (preview, plan) = without_plan(T::prepare(call, &input).await?);
                if agreed.is_some_and(|digest| digest != crate::canonical::digest(&preview.binding))
                {
                    return Ok(Agreed::Changed(preview));
                }
                untyped(T::execute(call, input, plan).await?).map(Agreed::Done)
            }
            .boxed()
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
    } = done;
    Ok(Effected {
        output: encode(&output)?,
        audit: Audit {
            subject,
            before,
            after,
        },
    })
}

fn encode<O: Serialize>(output: &O) -> Result<Value, CallError> {
    serde_json::to_value(output).map_err(|e| CallError::Broken(format!("result: {e}")))
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
    let message = match (locale, &field) {
        (Locale::En, Some(field)) => format!("The argument {field} is not valid: {detail}."),
        (Locale::En, None) => format!("The arguments are not valid: {detail}."),
        (Locale::Es, Some(field)) => format!("El argumento {field} no es válido: {detail}."),
        (Locale::Es, None) => format!("Los argumentos no son válidos: {detail}."),
    };
    let failure = ToolFailure::new(
        FailureCode::InvalidArguments,
        message,
        "Correct the argument as its description says and call again.",
    );
    match field {
        Some(field) => failure.at(field),
        None => failure,
    }
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
