//! The protocol around the call path: discover, list, call, for clients of three revisions on one endpoint, over HTTP and stdio.

mod addresses;
mod completion;
pub(crate) mod icons;
mod listening;
mod needs;
mod progress;
mod prompts;
mod resources;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use contracts::aliases::{self, ToolAlias};
use contracts::confirmation::{self, ConfirmationRequired, ELICITATION_KEY};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::shop::{self, ShopFacts};
use contracts::token::PrincipalRole;
use contracts::tool::{Effect, IDEMPOTENCY_META_KEY, Tool as _, ToolSheet, Toolset};
use contracts::tools::confirm::ConfirmAction;
use migrations::telemetry::TraceParent;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams,
    CompleteResult, ContentBlock, DiscoverResult, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, ErrorData, GetPromptRequestParams, GetPromptResponse,
    Implementation, InitializeRequestParams, InitializeResult, InputRequest, InputRequests,
    InputRequiredResult, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, MetaObject, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, RequestMetaObject, ServerCapabilities,
    ServerConfig, SubscriptionFilter, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::app::App;
use crate::call::{self, Answer, Asked, ToolRequest};
use crate::caller::Caller;
use crate::days;
use crate::documents;
use crate::guard::Shortfall;
use crate::handler::UnaskedClients;
use crate::words::protocol;
use crate::written::Place;
use icons::Icons;
pub(crate) use listening::{Ahead, is_to_listen, resource_digest};
use progress::Progress;
use prompts::{Begun, Named};
use resources::Reader;

/// How long a client may rely on the list of tools and on what the server says of itself, milliseconds.
const LIST_TTL_MS: u64 = 300_000;
/// Largest result, bytes of JSON. A model is better told to narrow its question than given more.
pub(crate) const RESULT_BYTES_MAX: usize = 64 * 1024;
/// How long a person may take to answer in a client's dialog before the call gives up waiting; the question itself stays open.
const DIALOG: Duration = Duration::from_secs(300);

/// Who answers, in every result of the stateless revision: there is no handshake that could have said it.
const SERVER_INFO_META_KEY: &str = "io.modelcontextprotocol/serverInfo";
static SERVER_INFO: LazyLock<Value> =
    LazyLock::new(|| json!({"name": SERVER_NAME, "version": env!("CARGO_PKG_VERSION")}));
const SERVER_NAME: &str = "countersign";
const SERVER_TITLE: &str = "Countersign";

const INSTRUCTIONS: &str = "Tools to run a shop: stock, bills and takings. Name items and customers as the person does; the server \
    resolves them and answers with candidates when it is not sure. Quantities and prices are decimal text in the shop's one currency. \
    Whatever cannot be taken back is asked of a person first. Repeat a summary or a message to the person word for word.";

/// One connection's view of the server. Cheap to make: a stateless connection makes one for every request.
#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
    /// On stdio the person at the machine is the caller; over HTTP each request brings its own.
    stdio: Option<Caller>,
}

impl Server {
    /// For HTTP: the caller is found in the request.
    #[must_use]
    pub fn http(app: Arc<App>) -> Server {
        Server { app, stdio: None }
    }

    /// For stdio: everything comes from one caller.
    #[must_use]
    pub fn stdio(app: Arc<App>, caller: Caller) -> Server {
        Server {
            app,
            stdio: Some(caller),
        }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        if let Some(caller) = &self.stdio {
            return Ok(caller.clone());
        }
        let parts = context.extensions.get::<http::request::Parts>();
        parts
            .and_then(|p| p.extensions.get::<Caller>().cloned())
            .ok_or_else(|| ErrorData::internal_error("no caller", None))
    }

    /// Where icons come from.
    fn icons(&self) -> Icons<'_> {
        match self.stdio {
            None => Icons::At(&self.app.public_url),
            Some(_) => Icons::Within,
        }
    }

    /// Who reads, in the language the request names.
    fn reader<'a>(
        &'a self,
        caller: &'a Caller,
        context: &RequestContext<RoleServer>,
    ) -> Reader<'a> {
        Reader {
            app: &self.app,
            caller,
            locale: locale(context),
        }
    }

    /// The language of the request, else the shop's; English when even that cannot be read.
    async fn language(&self, reader: Reader<'_>) -> Locale {
        match reader.locale {
            Some(locale) => locale,
            None => documents::language(&self.app, reader.caller.tenant).await,
        }
    }

    /// What a conversation needs to know of the business. A list without it is still a list, so trouble is only logged.
    async fn shop_facts(&self, caller: &Caller) -> Option<MetaObject> {
        let shop = match self.app.known_shop(caller.tenant).await {
            Ok(shop) => shop,
            Err(error) => {
                tracing::debug!(%error, "no facts about the shop");
                return None;
            }
        };
        let facts = ShopFacts {
            name: shop.name.clone(),
            currency: shop.currency,
            time_zone: shop.time_zone.name().to_owned(),
            locale: shop.locale,
        };
        let mut meta = MetaObject::new();
        meta.insert(shop::META_KEY.to_owned(), serde_json::to_value(facts).ok()?);
        Some(meta)
    }

    /// Asks the person through the client's own dialog (clients of the older revisions, where the connection can carry it).
    async fn dialog(&self, context: &RequestContext<RoleServer>, asked: &Asked) -> Option<bool> {
        let params = elicitation(asked)?;
        match context
            .peer
            .create_elicitation_with_timeout(params, Some(DIALOG))
            .await
        {
            Ok(result) => person_says(&result),
            Err(error) => {
                tracing::warn!(%error, "the client could not ask its person");
                None
            }
        }
    }

    /// The answer of a call, asking the person through the client where that can be done.
    async fn answer(
        &self,
        caller: &Caller,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let way = way(context, self.stdio.is_some());
        let closed = is_closed(&request);
        let stoppable = is_stoppable(caller, &request.name);
        let mut request = tool_request(request, context);
        let tool = request.name.clone();
        let narrowing = Narrowing {
            tool: &tool,
            locale: request.locale.unwrap_or_default(),
        };
        let mut streams = false;
        loop {
            let called = call::run(&self.app, caller, request.clone(), way != Way::Elsewhere);
            let called = Progress::of(context).during(called);
            let (answer, told) = tokio::select! {
                biased;
                answered = called => answered,
                // Whoever asked has gone: nobody reads the answer.
                () = context.ct.cancelled(), if stoppable => (Answer::Refused(gone()), false),
            };
            streams |= told;
            match answer {
                // The door fills in what is sent whole; a stream has gone past it.
                Answer::Done(json) => {
                    let place = place(context).filter(|_| !streams);
                    return Ok(done(json, place, narrowing).into());
                }
                Answer::Refused(failure) => return Ok(refused(&failure).into()),
                Answer::Asked(asked) if way == Way::InputRequired && !closed => {
                    return input_required(&asked);
                }
                Answer::Asked(asked) if way == Way::Dialog && !context.ct.is_cancelled() => {
                    let Some(yes) = self.dialog(context, &asked).await else {
                        return Ok(left_to_the_page(&self.app, *asked).into());
                    };
                    request.request_state = Some(asked.token.clone());
                    request.person_says = Some(yes);
                }
                Answer::Asked(asked) if way == Way::Elsewhere => {
                    return Ok(confirmation_required(&self.app, *asked).into());
                }
                Answer::Asked(asked) => return Ok(left_to_the_page(&self.app, *asked).into()),
            }
        }
    }
}

/// How the person behind a client can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The result itself asks (2026-07-28).
    InputRequired,
    /// A request to the client asks (older revisions, stdio).
    Dialog,
    /// Only elsewhere.
    Elsewhere,
}

fn way(context: &RequestContext<RoleServer>, stdio: bool) -> Way {
    let form = context
        .client_capabilities()
        .and_then(|c| c.elicitation)
        // Neither mode named means form (2025-06-18).
        .is_some_and(|e| e.form.is_some() || e.url.is_none());
    match (form, is_modern(context), stdio) {
        (true, true, _) => Way::InputRequired,
        (true, false, true) => Way::Dialog,
        _ => Way::Elsewhere,
    }
}

/// Whether the request is of the stateless revision.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context
        .protocol_version()
        .is_some_and(|v| v >= ProtocolVersion::V_2026_07_28)
}

/// Whether a call may be dropped when its client goes away: it reads. A write is finished, because its client will ask what became of
/// it. `confirm_action` reads too, except where a shop lets it carry a person's yes.
fn is_stoppable(caller: &Caller, tool: &str) -> bool {
    tool != ConfirmAction::NAME
        && call::offered(caller).any(|sheet| sheet.name == tool && sheet.effect == Effect::Read)
}

/// For the log of a call that was dropped; nobody reads it.
fn gone() -> ToolFailure {
    ToolFailure::new(
        FailureCode::Timeout,
        "Nobody waited for the answer.",
        "Call again.",
    )
}

/// Whether the person closed the dialog that the result asked for, which is no answer. Asking at once again would only open it anew.
fn is_closed(request: &CallToolRequestParams) -> bool {
    said(request).is_some_and(|s| s.action == ElicitationAction::Cancel)
}

/// Says which server this is, to a client of the stateless revision.
fn sign(meta: &mut Option<MetaObject>) {
    meta.get_or_insert_default()
        .insert(SERVER_INFO_META_KEY.to_owned(), SERVER_INFO.clone());
}

/// Says which name to use.
fn say_renamed(meta: &mut Option<MetaObject>, alias: &ToolAlias) {
    if let Ok(renamed) = serde_json::to_value(alias.renamed()) {
        meta.get_or_insert_default()
            .insert(aliases::META_KEY.to_owned(), renamed);
    }
}

/// The span of a call, in the caller's trace where it names one (W3C trace context in `_meta`). Of the highest level, so that an error
/// names it however little is logged.
fn span(tool: &str, meta: &RequestMetaObject) -> tracing::Span {
    match meta.get_traceparent().and_then(TraceParent::parse) {
        Some(caller) => {
            let TraceParent {
                trace_id,
                parent_id,
                ..
            } = caller;
            let span = tracing::error_span!("tools/call", tool, %trace_id, %parent_id);
            caller.adopt(&span);
            span
        }
        None => tracing::error_span!("tools/call", tool),
    }
}

/// A list with what the newest revision adds: who answers, and how long the client may hold it. It depends on who asks, so nobody else's
/// cache may. A macro, because rmcp's lists are four types with the same members.
macro_rules! held_by_its_client {
    ($list:expr, $context:expr) => {{
        let mut list = $list;
        if is_modern($context) {
            sign(&mut list.meta);
            list = list
                .with_ttl_ms(LIST_TTL_MS)
                .with_cache_scope(CacheScope::Private);
        }
        list
    }};
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_completions()
            .build();
        let info = Implementation::new(SERVER_NAME, env!("CARGO_PKG_VERSION"))
            .with_title(SERVER_TITLE)
            .with_icons(self.icons().of(Toolset::All));
        ServerConfig::new(capabilities)
            .with_server_info(info)
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Owned(vec![
            ProtocolVersion::V_2025_06_18,
            ProtocolVersion::V_2025_11_25,
            ProtocolVersion::V_2026_07_28,
        ])
    }

    /// The older revisions are told of changes on a connection of their own, which nothing that stands alone has.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut begun = self.negotiate_initialize(&request)?;
        context.peer.set_peer_info(request);
        let told = &mut begun.capabilities;
        if let Some(tools) = &mut told.tools {
            tools.list_changed = None;
        }
        if let Some(prompts) = &mut told.prompts {
            prompts.list_changed = None;
        }
        if let Some(resources) = &mut told.resources {
            (resources.list_changed, resources.subscribe) = (None, None);
        }
        Ok(begun)
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(listening::accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        listening::listen(self, &context).await
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let result = DiscoverResult::from_server_info(
            self.supported_protocol_versions().into_owned(),
            self.get_info(),
        );
        Ok(result
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        only_page(request)?;
        let caller = self.caller(&context)?;
        let icons = self.icons();
        let mut list = ListToolsResult::with_all_items(
            call::offered(&caller)
                .map(|sheet| tool(sheet, caller.role, icons))
                .collect(),
        );
        list.meta = self.shop_facts(&caller).await;
        Ok(held_by_its_client!(list, &context))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = self.caller(&context)?;
        let mut request = request;
        let alias = aliases::alias(&request.name);
        if let Some(alias) = alias {
            request.name = Cow::Borrowed(alias.tool);
        }
        if !call::exists(&request.name) {
            return Err(ErrorData::invalid_params(
                format!(
                    "Unknown tool: {}",
                    request.name.chars().take(128).collect::<String>()
                ),
                None,
            ));
        }
        if let Some(sheet) = call::sheet(&request.name) {
            note_shortfall(&context, &caller, sheet);
        }
        let modern = is_modern(&context);
        let span = span(&request.name, &context.meta);
        let mut response = self
            .answer(&caller, request, &context)
            .instrument(span)
            .await?;
        let meta = match &mut response {
            CallToolResponse::Complete(result) => &mut result.meta,
            CallToolResponse::InputRequired(result) => &mut result.meta,
            _ => return Ok(response),
        };
        if modern {
            sign(meta);
        }
        if let Some(alias) = alias {
            say_renamed(meta, alias);
        }
        Ok(response)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = self.caller(&context)?;
        let reader = self.reader(&caller, &context);
        let after = request.and_then(|r| r.cursor);
        let listed = resources::list(reader, self.icons(), after.as_deref());
        let (resources, next) = unless_gone(&context, listed).await?;
        let mut list = ListResourcesResult::with_all_items(resources);
        list.next_cursor = next;
        Ok(held_by_its_client!(list, &context))
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        only_page(request)?;
        let caller = self.caller(&context)?;
        let locale = self.language(self.reader(&caller, &context)).await;
        let templates = resources::templates(&caller, locale, self.icons());
        let list = ListResourceTemplatesResult::with_all_items(templates);
        Ok(held_by_its_client!(list, &context))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = self.caller(&context)?;
        if let Some(sheet) = resources::missing(&caller, &request.uri) {
            note_shortfall(&context, &caller, sheet);
        }
        let reading = resources::read(self.reader(&caller, &context), &request.uri);
        let mut read = unless_gone(&context, Box::pin(reading)).await?;
        if is_modern(&context) {
            sign(&mut read.meta);
            // A bill may be paid, a price changed the next moment.
            read = read.with_ttl_ms(0).with_cache_scope(CacheScope::Private);
        }
        Ok(read.into())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        only_page(request)?;
        let caller = self.caller(&context)?;
        let locale = self.language(self.reader(&caller, &context)).await;
        let prompts = prompts::list(&caller, locale, self.icons());
        let list = ListPromptsResult::with_all_items(prompts);
        Ok(held_by_its_client!(list, &context))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let caller = self.caller(&context)?;
        let named = Named::find(&request.name);
        if let Some(sheet) = named.and_then(|named| named.needs().missing(&caller)) {
            note_shortfall(&context, &caller, sheet);
        }
        let named = named
            .filter(|named| named.is_open_to(&caller))
            .ok_or_else(|| ErrorData::invalid_params("Unknown prompt", None))?;
        let shop = self.app.known_shop(caller.tenant).await.map_err(|error| {
            tracing::error!(%error, "the shop of a prompt");
            ErrorData::internal_error("The shop could not be read. Try again.", None)
        })?;
        let reader = self.reader(&caller, &context);
        let locale = reader.locale.unwrap_or(shop.locale);
        let today = days::day_of(self.app.clock.now(), shop.time_zone);
        let begun = Begun::new(named, request.arguments.as_ref(), &shop, locale, today)?;
        let written = begun.written(reader, Progress::of(&context));
        let mut prompt = unless_gone(&context, Box::pin(async { Ok(written.await) })).await?;
        if is_modern(&context) {
            sign(&mut prompt.meta);
        }
        Ok(prompt.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let caller = self.caller(&context)?;
        let completing = completion::complete(self.reader(&caller, &context), &request);
        let mut result = unless_gone(&context, completing).await?;
        if is_modern(&context) {
            sign(&mut result.meta);
        }
        Ok(result)
    }
}

/// Notes for the door that this failed for want of the tool's scope, if a better token would help. It is said of the kind of thing, before
/// anybody looks whether there is such a one.
fn note_shortfall(context: &RequestContext<RoleServer>, caller: &Caller, sheet: &ToolSheet) {
    let parts = context.extensions.get::<http::request::Parts>();
    if let Some(shortfall) = parts.and_then(|p| p.extensions.get::<Shortfall>()) {
        shortfall.note(caller, sheet);
    }
}

/// Reads, and stops when whoever asked has gone: nobody reads the answer.
async fn unless_gone<T>(
    context: &RequestContext<RoleServer>,
    reading: impl Future<Output = Result<T, ErrorData>>,
) -> Result<T, ErrorData> {
    tokio::select! {
        biased;
        read = reading => read,
        () = context.ct.cancelled() => Err(ErrorData::internal_error("Nobody waited for the answer.", None)),
    }
}

/// A cursor that none of our lists gave.
fn unknown_cursor() -> ErrorData {
    ErrorData::invalid_params("Unknown cursor: begin with the first page.", None)
}

/// Every list of ours has one page, so a client that names another has it from somewhere else.
fn only_page(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|r| r.cursor) {
        None => Ok(()),
        Some(_) => Err(ErrorData::invalid_params(
            "unknown cursor: the list has one page",
            None,
        )),
    }
}

/// What the person said in the dialog, if the request brings it.
fn said(request: &CallToolRequestParams) -> Option<ElicitResult> {
    let answer = request.input_responses.as_ref()?.get(ELICITATION_KEY)?;
    serde_json::from_value(answer.clone()).ok()
}

/// The language a request names.
fn locale(context: &RequestContext<RoleServer>) -> Option<Locale> {
    let tag = context.meta.0.get(Locale::META_KEY)?;
    tag.as_str().and_then(Locale::from_tag)
}

fn tool_request(
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> ToolRequest {
    let meta = |key: &str| {
        context
            .meta
            .0
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let person_says = said(&request).as_ref().and_then(person_says);
    ToolRequest {
        name: request.name.into_owned(),
        arguments: request.arguments.unwrap_or_default(),
        locale: locale(context),
        idempotency_key: meta(IDEMPOTENCY_META_KEY),
        request_state: request.request_state,
        person_says,
    }
}

/// Yes only when the form was accepted with the box ticked. Closing the dialog is no answer.
fn person_says(result: &ElicitResult) -> Option<bool> {
    match result.action {
        ElicitationAction::Accept => Some(
            result
                .content
                .as_ref()
                .is_some_and(|c| c.get(ELICITATION_KEY) == Some(&Value::Bool(true))),
        ),
        ElicitationAction::Decline => Some(false),
        // Cancel, and whatever later revisions add.
        _ => None,
    }
}

fn elicitation(asked: &Asked) -> Option<ElicitRequestParams> {
    let title = match asked.locale {
        Locale::En => "Yes, do it",
        Locale::Es => "Sí, hazlo",
    };
    let schema: ElicitationSchema = serde_json::from_value(json!({
        "type": "object",
        "properties": { ELICITATION_KEY: {"type": "boolean", "title": title} },
        "required": [ELICITATION_KEY],
    }))
    .ok()?;
    let mut meta = rmcp::model::RequestMetaObject::new();
    meta.0.insert(
        confirmation::META_KEY.to_owned(),
        serde_json::to_value(&asked.question).ok()?,
    );
    Some(ElicitRequestParams::FormElicitationParams {
        meta: Some(meta),
        message: asked.question.message.clone(),
        requested_schema: schema,
    })
}

fn input_required(asked: &Asked) -> Result<CallToolResponse, ErrorData> {
    let params = elicitation(asked).ok_or_else(|| ErrorData::internal_error("question", None))?;
    let requests = InputRequests::from([(
        ELICITATION_KEY.to_owned(),
        InputRequest::Elicitation(ElicitRequest::new(params)),
    )]);
    let mut result = InputRequiredResult::new(Some(requests), Some(asked.token.clone()));
    let question = serde_json::to_value(&asked.question)
        .map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    let mut meta = MetaObject::new();
    meta.insert(confirmation::META_KEY.to_owned(), question);
    result.meta = Some(meta);
    Ok(result.into())
}

/// For a client whose person was asked and closed the dialog: the question stands on its page. The client could ask, so no shop hands it
/// a token that would let its model say yes instead.
fn left_to_the_page(app: &App, asked: Asked) -> CallToolResult {
    let unasked_clients = UnaskedClients::Page;
    confirmation_required(
        app,
        Asked {
            unasked_clients,
            ..asked
        },
    )
}

/// For a client that cannot be asked: where the person answers, and how to collect the outcome.
fn confirmation_required(app: &App, asked: Asked) -> CallToolResult {
    let Asked {
        question,
        token,
        unasked_clients,
        locale,
    } = asked;
    let approval_url = crate::confirmation::approval_url(&app.public_url, question.id);
    let summary = match locale {
        Locale::En => format!("{} The answer is given at {approval_url}", question.message),
        Locale::Es => format!("{} La respuesta se da en {approval_url}", question.message),
    };
    let required = ConfirmationRequired {
        status: Default::default(),
        summary,
        confirmation_id: question.id,
        expires_at: question.expires_at,
        approval_url,
        token: (unasked_clients == UnaskedClients::Token).then_some(token),
        preview: question,
    };
    let meta = serde_json::to_value(&required.preview).unwrap_or_default();
    let narrowing = Narrowing {
        tool: &required.preview.tool,
        locale,
    };
    let json = serde_json::to_string(&required).unwrap_or_default();
    let mut result = done(json, None, narrowing);
    let mut all = MetaObject::new();
    all.insert(confirmation::META_KEY.to_owned(), meta);
    result.meta = Some(all);
    result
}

/// What is said of a result that is too long: how to ask for less of it.
#[derive(Clone, Copy)]
struct Narrowing<'a> {
    /// The tool that answered.
    tool: &'a str,
    locale: Locale,
}

impl Narrowing<'_> {
    fn too_long(self) -> ToolFailure {
        let arguments = call::sheet(self.tool).map_or_else(Vec::new, |sheet| {
            let properties = sheet.input_schema.get("properties");
            let takes = |name: &&&str| properties.is_some_and(|p| p.get(**name).is_some());
            NARROWING.iter().filter(takes).copied().collect()
        });
        protocol::too_long_answer(self.locale, &arguments)
    }
}

/// The arguments by which tools are asked for less, the most helpful first.
const NARROWING: [&str; 11] = [
    "limit", "category", "customer", "resource", "status", "date", "from", "to", "period", "query",
    "bill",
];

/// Where the door waits for the result; there is no such place on stdio.
fn place(context: &RequestContext<RoleServer>) -> Option<&Place> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get::<Place>()
}

/// The structured result and the same JSON as text; both are left empty when the door fills them in ([`crate::written`]). A result that
/// is too large is replaced by a hint to narrow the question.
fn done(json: String, place: Option<&Place>, narrowing: Narrowing<'_>) -> CallToolResult {
    if json.len() > RESULT_BYTES_MAX {
        return refused(&narrowing.too_long());
    }
    let here = match place {
        Some(place) => place.leave(json),
        None => Err(json),
    };
    let (text, object) = match here {
        Ok(()) => (String::new(), Value::Null),
        Err(json) => {
            // Our own text; should it not be JSON, the client still has it as text.
            let object = serde_json::from_str(&json).unwrap_or_default();
            (json, object)
        }
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(object);
    result
}

/// Failures are text only: several clients check a structured one against the tool's output schema and throw it away.
fn refused(failure: &ToolFailure) -> CallToolResult {
    let text = serde_json::to_string(failure).unwrap_or_default();
    CallToolResult::error(vec![ContentBlock::text(text)])
}

fn tool(sheet: &ToolSheet, role: PrincipalRole, icons: Icons<'_>) -> Tool {
    let (description, input_schema) = sheet.seen_by(role);
    let hints = sheet.annotations;
    let annotations = ToolAnnotations::from_raw(
        Some(sheet.title.to_owned()),
        Some(hints.read_only_hint),
        Some(hints.destructive_hint),
        Some(hints.idempotent_hint),
        Some(hints.open_world_hint),
    );
    Tool::new_with_raw(
        sheet.name,
        Some(Cow::Borrowed(description)),
        Arc::new(input_schema.clone()),
    )
    .with_title(sheet.title)
    .with_raw_output_schema(Arc::new(sheet.output_schema.clone()))
    .with_annotations(annotations)
    .with_icons(icons.of(sheet.toolset))
}

#[cfg(test)]
mod tests {
    use rmcp::model::{JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerResult};

    use super::*;
    use crate::written::filled;

    #[test]
    fn an_answer_nobody_could_read_becomes_advice() {
        let quotes = r#"{"text":""}"#.len();
        let largest = "x".repeat(RESULT_BYTES_MAX - quotes);
        let bills = Narrowing {
            tool: "billing_list_bills",
            locale: Locale::Es,
        };
        let result = done(json!({"text": largest}).to_string(), None, bills);
        assert_eq!(result.is_error, Some(false));
        assert_eq!(result.structured_content, Some(json!({"text": largest})));

        let result = done(json!({"text": largest + "x"}).to_string(), None, bills);
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content, None);
        let text = result.content[0].as_text().unwrap().text.clone();
        let failure: ToolFailure = serde_json::from_str(&text).unwrap();
        assert!(
            failure.hint.contains("limit, customer, status, from, to"),
            "{failure:?}"
        );
        assert!(failure.message.starts_with("La respuesta"), "{failure:?}");
    }

    #[test]
    fn every_list_can_be_asked_for_less_by_an_argument_of_its_own() {
        let mut lists = 0;
        for sheet in call::offered(&Caller::local_owner()) {
            let takes = |name: &str| sheet.input_schema["properties"].get(name).is_some();
            let narrowing = Narrowing {
                tool: sheet.name,
                locale: Locale::En,
            };
            let hint = narrowing.too_long().hint;
            if takes("limit") || takes("cursor") {
                lists += 1;
                assert!(hint.contains("a smaller limit"), "{}: {hint}", sheet.name);
            }
            // What the hint names is there to be given.
            let named = hint.split_once("with ").map_or("", |(_, named)| named);
            for name in named
                .trim_end_matches('.')
                .split(", ")
                .filter(|n| !n.is_empty())
            {
                let name = name.trim_start_matches("a smaller ");
                assert!(takes(name), "{}: {hint}", sheet.name);
            }
        }
        assert!(lists >= 7, "{lists} lists");
    }

    const NOTHING: Narrowing<'_> = Narrowing {
        tool: "nothing",
        locale: Locale::En,
    };

    fn reply(result: CallToolResult) -> String {
        let result = ServerResult::CallToolResult(result);
        let reply: ServerJsonRpcMessage =
            JsonRpcMessage::response(result, RequestId::String("7".into()));
        serde_json::to_string(&reply).unwrap()
    }

    #[test]
    fn a_reply_filled_at_the_door_is_the_one_rmcp_writes() {
        let json = json!({"summary": "\"Éclair\" \\ 2", "items": [{"text": ""}]}).to_string();
        let place = Place::default();
        let around = reply(done(json.clone(), Some(&place), NOTHING));
        assert!(!around.contains("clair"), "no result in it: {around}");
        let whole = filled(around.as_bytes(), place.left().unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(whole).unwrap(),
            reply(done(json, None, NOTHING))
        );
    }

    #[test]
    fn a_result_that_is_too_large_leaves_nothing_at_the_door() {
        let place = Place::default();
        let result = done(
            json!("x".repeat(RESULT_BYTES_MAX)).to_string(),
            Some(&place),
            NOTHING,
        );
        assert_eq!((result.is_error, place.left()), (Some(true), None));
    }
}
