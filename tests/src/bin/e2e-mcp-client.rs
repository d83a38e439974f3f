//! The agent's own MCP client for the conformance suite: lists what the server at the last argument offers, and calls it.
//!
//! Nothing here speaks the protocol; that is the agent's `tools`, as it is. The suite names the calls it wants in
//! `MCP_CONFORMANCE_CONTEXT`; without, every listed tool is called with the arguments it requires. A question is answered yes, as our
//! person would. What a call comes to is for the suite to judge, so that only a list that cannot be had is a failure here.

use agent::models::{ToolCall, ToolSpec};
use agent::principal::Principal;
use agent::tools::{AnswerToPass, CallResult, Dispatch, Tools};
use anyhow::Context as _;
use contracts::locale::Locale;
use contracts::token::{PrincipalRole, TokenPerson};
use migrations::clock;
use migrations::settings::Reader;
use serde_json::{Map, Value, json};

/// How often one call may be asked about.
const ROUNDS_MAX: u32 = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    agent::start::install_crypto();
    let url = std::env::args()
        .next_back()
        .context("the server's address is the last argument")?;
    let context = Reader::environment().optional("MCP_CONFORMANCE_CONTEXT");
    let context: Value = context.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
    let tools = Tools::new(
        &url,
        [7; 32],
        clock::from_setting(None),
        &[],
        std::time::Duration::from_secs(30),
    )?;
    let owner = Principal::local_owner();
    let offer = tools.offer(&owner).await?;
    for call in calls(&context, &offer.tools) {
        match settled(&tools, &owner, &call).await {
            Ok(outcome) => tracing::info!(tool = call.tool, ?outcome, "called"),
            Err(error) => tracing::warn!(tool = call.tool, %error, "no answer"),
        }
    }
    Ok(())
}

fn calls(context: &Value, offered: &[ToolSpec]) -> Vec<ToolCall> {
    let first = offered.first().map(|tool| tool.input_schema.clone());
    let call = |tool: &str, arguments: Value| ToolCall {
        id: tool.to_owned(),
        tool: tool.to_owned(),
        arguments,
    };
    match context["toolCalls"].as_array() {
        Some(wanted) => wanted
            .iter()
            .map(|w| {
                call(
                    w["name"].as_str().unwrap_or_default(),
                    w["arguments"].clone(),
                )
            })
            .collect(),
        None => offered
            .iter()
            .map(|tool| {
                // One tool of the suite is told what the client has understood of another's schema.
                let arguments = match &first {
                    Some(schema) if tool.name == "json_schema_echo" => json!({"schema": schema}),
                    _ => required(&tool.input_schema),
                };
                call(&tool.name, arguments)
            })
            .collect(),
    }
}

/// A value of the right type for every argument that a tool requires.
fn required(schema: &Value) -> Value {
    let names = schema["required"].as_array().into_iter().flatten();
    let arguments: Map<String, Value> = names
        .filter_map(Value::as_str)
        .map(|name| {
            let value = match schema["properties"][name]["type"].as_str() {
                Some("number" | "integer") => json!(1),
                Some("boolean") => json!(true),
                Some("array") => json!([]),
                Some("object") => json!({}),
                _ => json!("text"),
            };
            (name.to_owned(), value)
        })
        .collect();
    Value::Object(arguments)
}

/// Makes a call and answers what it asks.
async fn settled(tools: &Tools, owner: &Principal, call: &ToolCall) -> anyhow::Result<CallResult> {
    let mut answer = None;
    for _round in 0..ROUNDS_MAX {
        let dispatch = Dispatch {
            call,
            idempotency_key: &call.id,
            locale: Locale::En,
            answer: answer.take(),
        };
        match tools.call(owner, dispatch).await? {
            CallResult::Asked(asked) => {
                answer = Some(AnswerToPass {
                    request_state: asked.request_state,
                    yes: true,
                    by: TokenPerson {
                        sub: owner.subject.clone(),
                        role: PrincipalRole::Owner,
                    },
                });
            }
            outcome => return Ok(outcome),
        }
    }
    anyhow::bail!("{} is still asking after {ROUNDS_MAX} answers", call.tool)
}
