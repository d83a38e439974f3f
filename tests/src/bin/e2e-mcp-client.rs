//! The agent's own MCP client for the conformance suite: lists what the server at the last argument offers, and calls it.
//!
//! Nothing here speaks the protocol; that is the agent's `tools`, as it is. With two addresses the first is our own server, of the home in
//! `COUNTERSIGN_HOME`, and the suite's is somebody else's beside it; with one, the suite's stands where our own would be.
//!
//! The suite names the calls it wants in `MCP_CONFORMANCE_CONTEXT`; without, every listed tool is called with the arguments it requires.
//! A question is answered yes, as our person would. What a call comes to is for the suite to judge, so that only a list that cannot be had
//! is a failure here.

use std::path::PathBuf;
use std::time::Duration;

use agent::config::{Address, ExtraServer};
use agent::models::{ToolCall, ToolSpec};
use agent::principal::Principal;
use agent::tokens::Signer;
use agent::tools::{AnswerToPass, CallResult, Dispatch, Tools};
use anyhow::Context as _;
use contracts::locale::Locale;
use contracts::token::{PrincipalRole, TokenPerson};
use migrations::clock;
use migrations::keys::{self, Key};
use migrations::settings::Reader;
use serde_json::{Map, Value, json};

/// How often one call may be asked about.
const ROUNDS_MAX: u32 = 5;
/// How long one call of somebody else's server may take.
const CALL: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    agent::start::install_crypto();
    let settings = Reader::environment();
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let (tools, prefix) = match addresses.as_slice() {
        [suite] => (tools(suite, [7; 32], &[])?, String::new()),
        [ours, suite] => {
            let home = settings.optional("COUNTERSIGN_HOME");
            let home = PathBuf::from(home.context("COUNTERSIGN_HOME is not set")?);
            let key = keys::load_or_create(&home, "agent-token").map_err(anyhow::Error::msg)?;
            let address = Address::Http {
                url: suite.clone(),
                token: None,
            };
            let extra = ExtraServer {
                name: "suite".to_owned(),
                address,
            };
            (tools(ours, key, &[extra])?, "suite.".to_owned())
        }
        _ => anyhow::bail!("one or two addresses are needed"),
    };
    let context = settings.optional("MCP_CONFORMANCE_CONTEXT");
    let context: Value = context.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
    let owner = Principal::local_owner();
    let offer = tools.offer(&owner).await?;
    let offered: Vec<&ToolSpec> = offer
        .tools
        .iter()
        .filter(|tool| tool.name.starts_with(&prefix))
        .collect();
    for call in calls(&context, &prefix, &offered) {
        match settled(&tools, &owner, &call).await {
            Ok(outcome) => tracing::info!(tool = call.tool, ?outcome, "called"),
            Err(error) => tracing::warn!(tool = call.tool, %error, "no answer"),
        }
    }
    Ok(())
}

fn tools(ours: &str, key: Key, extra: &[ExtraServer]) -> anyhow::Result<Tools> {
    let clock = clock::from_setting(None);
    Ok(Tools::new(ours, Signer::new(key, clock), extra, CALL)?)
}

fn calls(context: &Value, prefix: &str, offered: &[&ToolSpec]) -> Vec<ToolCall> {
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
                let name = w["name"].as_str().unwrap_or_default();
                call(&format!("{prefix}{name}"), w["arguments"].clone())
            })
            .collect(),
        None => offered
            .iter()
            .map(|tool| {
                // One tool of the suite is told what the client has understood of another's schema.
                let arguments = match &first {
                    Some(schema) if tool.name.ends_with("json_schema_echo") => {
                        json!({"schema": schema})
                    }
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
