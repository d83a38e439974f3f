//! Tools, prompts and resources that the public conformance suite calls by name, added beside the real tools.
//!
//! Only with the cargo feature `conformance-fixtures`, which no default and no release build has. They come through the same door, the
//! same transport and the same server as the real tools, so that the suite judges those; what they answer is prescribed by the suite.

mod questions;

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
    CompleteRequestParams, CompleteResult, CompletionInfo, DiscoverResult, ErrorData,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, InitializeRequestParams,
    InitializeResult, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Reference, ServerConfig,
    SubscriptionFilter, Tool,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::App;
use crate::server::Server;

#[cfg(not(debug_assertions))]
compile_error!("conformance-fixtures answers a test suite: it has no place in an optimised build");

/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A sound without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
/// How long the suite may keep a list, milliseconds.
const TTL_MS: u64 = 60_000;

/// Tools without arguments that answer at once.
const TOOLS: [&str; 9] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_logging_tool",
    "test_missing_capability",
];
const HEADER_TOOL: &str = "test_custom_header";
const SCHEMA_TOOL: &str = "json_schema_2020_12_tool";

/// The real server with the fixtures beside its tools.
#[derive(Clone)]
pub struct WithFixtures {
    real: Server,
    app: Arc<App>,
}

impl WithFixtures {
    /// For HTTP, like [`Server::http`].
    #[must_use]
    pub fn http(app: Arc<App>) -> WithFixtures {
        WithFixtures {
            real: Server::http(Arc::clone(&app)),
            app,
        }
    }
}

/// The prescribed answers are JSON, and so they stand here.
fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

/// A complete result; the transport takes the word away again for clients of the older revisions.
fn complete<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["resultType"] = json!("complete");
    typed(value)
}

/// A complete result that may be kept.
fn keepable<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["ttlMs"] = json!(TTL_MS);
    value["cacheScope"] = json!("public");
    complete(value)
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

fn resource(uri: &str, mime: &str, content: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": content}})
}

/// The content of a tool that only answers.
fn content(tool: &str) -> Value {
    match tool {
        "test_image_content" => json!([image()]),
        "test_audio_content" => json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
        "test_embedded_resource" => json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content."
        )]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image(),
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#
            ),
        ]),
        "test_error_handling" => {
            json!([text("This tool intentionally returns an error for testing")])
        }
        _ => json!([text("This is a simple text response for testing.")]),
    }
}

fn tool_named(name: &str) -> Result<Tool, ErrorData> {
    let schema = match name {
        HEADER_TOOL => json!({"type": "object", "required": ["value"],
            "properties": {"value": {"type": "string", "x-mcp-header": "Value"}}}),
        SCHEMA_TOOL => json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {"address": {"$anchor": "address", "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
            "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
            "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
            "if": {"required": ["address"]},
            "then": {"properties": {"address": {"required": ["street"]}}},
            "else": {"required": ["name"]},
            "additionalProperties": false,
        }),
        _ => json!({"type": "object", "properties": {}}),
    };
    typed(
        json!({"name": name, "description": "Called by the conformance suite.", "inputSchema": schema}),
    )
}

fn is_fixture(name: &str) -> bool {
    TOOLS.contains(&name) || [HEADER_TOOL, SCHEMA_TOOL].contains(&name) || questions::is_tool(name)
}

/// Progress goes out before the answer, on the same stream, to a client that gave a token for it.
async fn progress(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    let Some(token) = context.meta.get_progress_token() else {
        return Ok(());
    };
    for done in [0.0, 50.0, 100.0] {
        let step = ProgressNotificationParam::new(token.clone(), done).with_total(100.0);
        let sent = context.peer.notify_progress(step).await;
        sent.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    }
    Ok(())
}

/// A log line goes out only for a request that names a level.
#[expect(
    deprecated,
    reason = "the suite asks that a server which does not log stays silent"
)]
async fn log(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    use rmcp::model::LoggingMessageNotificationParam;
    let Some(level) = context.meta.log_level() else {
        return Ok(());
    };
    let line = LoggingMessageNotificationParam::new(level, json!("a level was named"));
    let sent = context.peer.notify_logging_message(line).await;
    sent.map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

async fn call(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let name = request.name.as_ref();
    match name {
        "test_tool_with_progress" => progress(context).await?,
        "test_logging_tool" => log(context).await?,
        "test_missing_capability" => {
            let declared = context.client_capabilities().unwrap_or_default();
            if declared.sampling.is_none() {
                #[expect(deprecated, reason = "the capability the suite leaves out")]
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
        }
        _ => {}
    }
    let failed = name == "test_error_handling";
    let result: CallToolResult = complete(json!({"content": content(name), "isError": failed}))?;
    Ok(result.into())
}

impl ServerHandler for WithFixtures {
    fn get_tool(&self, name: &str) -> Option<Tool> {
        // The transport compares the headers of annotated arguments with the body.
        (name == HEADER_TOOL)
            .then(|| tool_named(name).ok())
            .flatten()
    }

    fn get_info(&self) -> ServerConfig {
        self.real.get_info()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.real.supported_protocol_versions()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.real.initialize(request, context).await
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        self.real.discover(context).await
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.real.accepted_subscription_filter(requested)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.real.listen(context).await
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = self.real.list_tools(request, context).await?;
        let names = TOOLS.into_iter().chain([HEADER_TOOL, SCHEMA_TOOL]);
        for name in names.chain(questions::tools()) {
            list.tools.push(tool_named(name)?);
        }
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if questions::is_tool(&request.name) {
            return questions::tool(&self.app, &request, &context);
        }
        if is_fixture(&request.name) {
            return call(&request, &context).await;
        }
        self.real.call_tool(request, context).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut list = self.real.list_resources(request, context).await?;
        let ours: ListResourcesResult = keepable(json!({"resources": [
            {"uri": "test://static-text", "name": "Static text", "mimeType": "text/plain"},
            {"uri": "test://static-binary", "name": "Static binary", "mimeType": "image/png"},
        ]}))?;
        list.resources.extend(ours.resources);
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut list = self.real.list_resource_templates(request, context).await?;
        let ours: ListResourceTemplatesResult = keepable(json!({"resourceTemplates": [
            {"uriTemplate": "test://template/{id}/data", "name": "Template", "mimeType": "application/json"},
        ]}))?;
        list.resource_templates.extend(ours.resource_templates);
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri.starts_with("countersign:") {
            return self.real.read_resource(request, context).await;
        }
        let uri = request.uri.as_str();
        let of_template = uri
            .strip_prefix("test://template/")
            .and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (uri, of_template) {
            ("test://static-text", _) => {
                json!({"mimeType": "text/plain", "text": "This is the content of the static text resource."})
            }
            ("test://static-binary", _) => json!({"mimeType": "image/png", "blob": PNG}),
            (_, Some(id)) => {
                let data =
                    json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"mimeType": "application/json", "text": data.to_string()})
            }
            _ => {
                let told = Some(json!({"uri": uri}));
                return Err(ErrorData::resource_not_found("Resource not found", told));
            }
        };
        let mut contents = contents;
        contents["uri"] = json!(uri);
        let read: ReadResourceResult = keepable(json!({"contents": [contents]}))?;
        Ok(read.into())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut list = self.real.list_prompts(request, context).await?;
        let ours: ListPromptsResult = keepable(json!({"prompts": [
            {"name": "test_simple_prompt", "description": "No arguments."},
            {"name": "test_prompt_with_arguments", "description": "Two arguments.", "arguments": [
                {"name": "arg1", "description": "First.", "required": true},
                {"name": "arg2", "description": "Second.", "required": true},
            ]},
            {"name": "test_prompt_with_embedded_resource", "description": "A resource.",
             "arguments": [{"name": "resourceUri", "description": "Of the resource.", "required": true}]},
            {"name": "test_prompt_with_image", "description": "A picture."},
            {"name": questions::PROMPT, "description": "Asks first."},
        ]}))?;
        list.prompts.extend(ours.prompts);
        Ok(list)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == questions::PROMPT {
            return questions::prompt(&self.app, &request, &context);
        }
        if !request.name.starts_with("test_") {
            return self.real.get_prompt(request, context).await;
        }
        let arguments = request.arguments.unwrap_or_default();
        let argument = |name: &str| arguments.get(name).cloned().unwrap_or_default();
        let said = match request.name.as_str() {
            "test_simple_prompt" => json!([text("This is a simple prompt for testing.")]),
            "test_prompt_with_arguments" => {
                let (first, second) = (argument("arg1"), argument("arg2"));
                json!([text(&format!(
                    "Prompt with arguments: arg1={first}, arg2={second}"
                ))])
            }
            "test_prompt_with_embedded_resource" => {
                let uri = argument("resourceUri");
                let uri = uri.as_str().unwrap_or("test://example-resource");
                json!([
                    resource(uri, "text/plain", "Embedded resource content for testing."),
                    text("Please process the embedded resource above."),
                ])
            }
            "test_prompt_with_image" => {
                json!([image(), text("Please analyze the image above.")])
            }
            _ => return Err(ErrorData::invalid_params("Unknown prompt", None)),
        };
        let messages: Vec<Value> = said
            .as_array()
            .into_iter()
            .flatten()
            .map(|content| json!({"role": "user", "content": content}))
            .collect();
        let prompt: GetPromptResult = complete(json!({"messages": messages}))?;
        Ok(prompt.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let is_fixture = match &request.r#ref {
            Reference::Prompt(prompt) => prompt.name.starts_with("test_"),
            Reference::Resource(resource) => resource.uri.starts_with("test:"),
            _ => false,
        };
        if !is_fixture {
            return self.real.complete(request, context).await;
        }
        let begun = request.argument.value;
        let known = ["paris", "park", "party"];
        let fitting = known.into_iter().filter(|word| word.starts_with(&begun));
        let info = CompletionInfo::new(fitting.map(str::to_owned).collect());
        info.map(CompleteResult::new)
            .map_err(|e| ErrorData::internal_error(e, None))
    }
}
