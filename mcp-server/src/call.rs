//! The one path every call takes: caller, scope, validate, idempotency, confirm, tool, audit, answer.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::time::Duration;

use contracts::confirmation::Question;
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::{CUSTOMER, Effect, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_BYTES_MAX, ToolSheet};
use contracts::tools::confirm::{ConfirmAction, ConfirmActionInput};
use futures::FutureExt as _;
use serde_json::{Map, Value};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::app::App;
use crate::audit::{self, Trace};
use crate::caller::{Caller, Door};
use crate::canonical;
use crate::confirmation::{self, Asking, Decision, PersonsAnswer};
use crate::error::{self, CallError};
use crate::handler::{Call, Shop, UnaskedClients};
use crate::hints;
use crate::idempotency::{self, Claim, Finished, Use};
use crate::metrics;
use crate::routes::{self, Agreed, Route, Runner};

static ROUTES: LazyLock<std::collections::BTreeMap<&'static str, Route>> =
    LazyLock::new(routes::routes);

/// How often a call that lost a deadlock or a serialization is begun again.
const ATTEMPTS_MAX: u32 = 4;

/// A tool call as it came over the wire.
#[derive(Debug, Clone, Default)]
pub struct ToolRequest {
    /// The tool.
    pub name: String,
    /// Its arguments, unchecked.
    pub arguments: Map<String, Value>,
    /// The language the request names.
    pub locale: Option<Locale>,
    /// The key in `_meta`; the argument of the same meaning wins.
    pub idempotency_key: Option<String>,
    /// The token of a question that was asked before.
    pub request_state: Option<String>,
    /// What the person said to it: `Some(true)` for yes.
    pub person_says: Option<bool>,
}

/// What the caller gets.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was done: the result as JSON.
    Done(String),
    /// It was not done.
    Refused(ToolFailure),
    /// A person is asked first.
    Asked(Box<Asked>),
}

/// A question and the token that its answer has to bring back.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// 256 bits, for `requestState`.
    pub token: String,
    /// How a client that cannot be asked gets its yes.
    pub unasked_clients: UnaskedClients,
    /// The language of the request.
    pub locale: Locale,
}

/// The sheet of every tool the caller may use, by name.
pub fn offered(caller: &Caller) -> impl Iterator<Item = &'static ToolSheet> + '_ {
    ROUTES
        .values()
        .map(|r| &r.sheet)
        .filter(move |sheet| caller.may_call(sheet))
}

/// The sheet of every tool there is, by name.
pub(crate) fn sheets() -> impl Iterator<Item = &'static ToolSheet> {
    ROUTES.values().map(|route| &route.sheet)
}

/// Whether there is a tool of this name at all.
#[must_use]
pub fn exists(name: &str) -> bool {
    ROUTES.contains_key(name)
}

/// The sheet of a tool, whoever may use it.
#[must_use]
pub fn sheet(name: &str) -> Option<&'static ToolSheet> {
    ROUTES.get(name).map(|route| &route.sheet)
}

/// Answers a call, whatever happens inside: a refusal, a panic, a timeout, a lost database.
///
/// `askable` says whether the client's person can be asked through it.
pub async fn run(app: &App, caller: &Caller, request: ToolRequest, askable: bool) -> Answer {
    let measured = metrics::Measured::begin(&request.name);
    let locale = request.locale.unwrap_or_default();
    let mut answer = answer_to(app, caller, request, askable).await;
    measured.end(&answer);
    if let Answer::Refused(failure) = &mut answer {
        let is_out_of_reach = |word: &str| sheet(word).is_some_and(|s| !caller.may_call(s));
        if let Some(hint) = hints::within_reach(&failure.hint, locale, is_out_of_reach) {
            failure.hint = hint;
        }
    }
    answer
}

async fn answer_to(app: &App, caller: &Caller, request: ToolRequest, askable: bool) -> Answer {
    let locale = request.locale.unwrap_or_default();
    let Some(route) = ROUTES.get(request.name.as_str()) else {
        return Answer::Refused(not_allowed(locale));
    };
    if !caller.may_call(&route.sheet) {
        return Answer::Refused(not_allowed(locale));
    }
    let checked = match Checked::new(route, caller, request) {
        Ok(checked) => checked,
        Err(failure) => return Answer::Refused(failure),
    };
    let work = AssertUnwindSafe(attempts(app, caller, route, &checked, askable)).catch_unwind();
    match tokio::time::timeout(app.call_deadline, work).await {
        Ok(Ok(Ok(answer))) => {
            app.hooks.at(route.committed).await;
            answer
        }
        Ok(Ok(Err(error))) => {
            if !matches!(error, CallError::Refused(_)) {
                tracing::error!(tool = route.sheet.name, tenant = %caller.tenant, %error, "call failed");
            }
            Answer::Refused(error.into_failure(locale))
        }
        Ok(Err(_panic)) => {
            tracing::error!(tool = route.sheet.name, tenant = %caller.tenant, "call panicked");
            Answer::Refused(error::internal(locale))
        }
        Err(_elapsed) => {
            tracing::error!(tool = route.sheet.name, tenant = %caller.tenant, deadline = ?app.call_deadline, "call timed out");
            Answer::Refused(error::timeout(locale))
        }
    }
}

/// A person's answer that came by our page, not by a call.
///
/// # Errors
/// When the database cannot be reached, or what is stored is broken.
pub async fn answer_on_page(
    app: &App,
    caller: &Caller,
    id: Uuid,
    yes: bool,
) -> Result<Answer, CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    // What became of somebody else's question is no more a stranger's to learn than the question.
    let asked = confirmation::visible(&mut app.call(&mut tx, &shop, caller), id).await?;
    // An answer reaches no further than the call it is about would, and the agent's own word is nobody's.
    let reaches = sheet(&asked.question.tool)
        .is_some_and(|sheet| caller.reach.allows(sheet.toolset, sheet.effect));
    let by = match &caller.door {
        Door::Agent { decided_by } => decided_by.clone(),
        Door::Local | Door::Key(_) | Door::Token | Door::Session => Some(caller.person()),
    };
    let Some(by) = by.filter(|_| reaches) else {
        return Ok(Answer::Refused(not_allowed(shop.locale)));
    };
    let decision = confirmation::decide(
        app,
        by_name,
        &mut tx,
        &shop,
        id,
        PersonsAnswer {
            yes,
            by: &by,
            via: "page",
        },
        app.clock.now(),
    )
    .await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(decided(app, &shop, shop.locale, decision))
}

fn by_name(name: &str) -> Option<&'static Route> {
    ROUTES.get(name)
}

/// A call whose arguments are of the tool's type.
struct Checked {
    arguments: Value,
    digest: [u8; 32],
    key: Option<String>,
    locale: Option<Locale>,
    request_state: Option<String>,
    person_says: Option<bool>,
}

impl Checked {
    fn new(
        route: &Route,
        caller: &Caller,
        mut request: ToolRequest,
    ) -> Result<Checked, ToolFailure> {
        let locale = request.locale.unwrap_or_default();
        let key = match request.arguments.remove(IDEMPOTENCY_KEY) {
            Some(Value::String(key)) => Some(key),
            None | Some(Value::Null) => request.idempotency_key,
            Some(_) => {
                return Err(routes::invalid(
                    "a key is text",
                    Some(IDEMPOTENCY_KEY.to_owned()),
                    locale,
                ));
            }
        };
        if key.as_ref().is_some_and(|k| {
            k.is_empty() || k.len() > IDEMPOTENCY_KEY_BYTES_MAX || k.contains('\0')
        }) {
            return Err(routes::invalid(
                "a key has 1 to 255 bytes",
                Some(IDEMPOTENCY_KEY.to_owned()),
                locale,
            ));
        }
        if let Some(customer) = caller.confined_to() {
            confine(&route.sheet, customer, &mut request.arguments, locale)?;
        }
        routes::shaped(&route.sheet.input_schema, &request.arguments, locale)?;
        let mut arguments = Value::Object(request.arguments);
        without_nulls(&mut arguments);
        let arguments = (route.normalize)(arguments, locale)?;
        Ok(Checked {
            digest: canonical::digest(&arguments),
            arguments,
            key: key.filter(|_| route.sheet.effect != Effect::Read),
            locale: request.locale,
            request_state: request.request_state,
            person_says: request.person_says,
        })
    }
}

/// What a customer principal may not give is refused as what does not exist, and the customer the call is about is herself.
fn confine(
    sheet: &ToolSheet,
    customer: Uuid,
    arguments: &mut Map<String, Value>,
    locale: Locale,
) -> Result<(), ToolFailure> {
    let Some(hers) = &sheet.for_customers else {
        return Ok(());
    };
    for name in &hers.staff_arguments {
        if arguments.get(*name).is_some_and(|given| !given.is_null()) {
            let detail = format!("unknown field `{name}`");
            return Err(routes::invalid(&detail, Some((*name).to_owned()), locale));
        }
    }
    for (name, word) in hers.staff_words {
        if arguments.get(*name).and_then(Value::as_str) == Some(word) {
            let detail = format!("unknown variant `{word}`");
            return Err(routes::invalid(&detail, Some((*name).to_owned()), locale));
        }
    }
    if hers.about_customer {
        arguments.insert(CUSTOMER.to_owned(), Value::from(customer.to_string()));
    }
    Ok(())
}

/// Some clients send `null` for what they leave out.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

async fn attempts(
    app: &App,
    caller: &Caller,
    route: &'static Route,
    checked: &Checked,
    askable: bool,
) -> Result<Answer, CallError> {
    let mut attempt = 1;
    loop {
        match once(app, caller, route, checked, askable).await {
            Err(error) if error.is_transient_conflict() && attempt < ATTEMPTS_MAX => {
                let jitter_ms = rand::random_range(1..=20 * u64::from(attempt));
                tokio::time::sleep(Duration::from_millis(jitter_ms)).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// Whether nothing can be written under this tool's name. `confirm_action` reads, but may bring a person's yes with it.
fn reads_only(route: &Route) -> bool {
    matches!(route.runner, Runner::Read(_))
        && route.sheet.name != <ConfirmAction as contracts::tool::Tool>::NAME
}

/// One transaction.
async fn once(
    app: &App,
    caller: &Caller,
    route: &'static Route,
    checked: &Checked,
    askable: bool,
) -> Result<Answer, CallError> {
    let mut tx = if app.read_only || reads_only(route) {
        app.begin_reading(caller.tenant).await?
    } else {
        app.begin(caller.tenant).await?
    };
    let shop = app.shop(&mut tx, caller.tenant).await?;
    let mut call = Call {
        locale: checked.locale.unwrap_or(shop.locale),
        ..app.call(&mut tx, &shop, caller)
    };
    let answer = match route.runner {
        Runner::Read(read) => {
            let asserted = asserted_by_client(app, &mut call, route, checked).await?;
            if let Asserted::NotTaken(failure) = asserted {
                Answer::Refused(failure)
            } else {
                app.hooks.at(route.place).await;
                let answer = Answer::Done(read(&mut call, checked.arguments.clone()).await?);
                if matches!(asserted, Asserted::Nothing) {
                    // Nothing is to be committed: the transaction ends as its connection goes back, one round trip less.
                    return Ok(answer);
                }
                answer
            }
        }
        Runner::Write(_) => write(app, &mut call, route, checked).await?,
        Runner::Commit { .. } => commit(app, &mut call, route, checked, askable).await?,
    };
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(answer)
}

/// A write: claim the key, do it, audit it, store the answer.
async fn write(
    app: &App,
    call: &mut Call<'_>,
    route: &Route,
    checked: &Checked,
) -> Result<Answer, CallError> {
    if let Some(Claim::Finished(finished)) = claim(call, route, checked).await? {
        return Ok(finished.into());
    }
    app.hooks.at(route.place).await;
    effect(call, route, checked).await
}

/// Does it without a question: the tool, its audit row and the answer of its key, or the refusal alone.
async fn effect(
    call: &mut Call<'_>,
    route: &Route,
    checked: &Checked,
) -> Result<Answer, CallError> {
    let broken = |what: &str| CallError::Broken(format!("{} {what}", route.sheet.name));
    let mut savepoint = call.conn.begin().await?;
    let mut inner = Call {
        conn: &mut savepoint,
        ..*call
    };
    let arguments = checked.arguments.clone();
    let outcome = match route.runner {
        Runner::Read(_) => Err(broken("has no effect")),
        Runner::Write(write) => write(&mut inner, arguments).await,
        Runner::Commit { execute, .. } => match execute(&mut inner, arguments, None).await {
            Ok(Agreed::Done(done)) => Ok(done),
            Ok(Agreed::Changed) => Err(broken("changed what nobody had agreed to")),
            Err(error) => Err(error),
        },
    };
    let finished = match outcome {
        Ok(done) => {
            let name = route.sheet.name;
            let trace = Trace {
                audit: &done.audit,
                events: &done.events,
            };
            audit::write(&mut inner, name, &checked.arguments, trace, None).await?;
            savepoint.commit().await?;
            Finished::Done(done.output)
        }
        Err(CallError::Refused(failure)) => {
            savepoint.rollback().await?;
            Finished::Refused(failure)
        }
        Err(fault) => return Err(fault),
    };
    store(call, checked, &finished).await?;
    Ok(finished.into())
}

/// A commit: an answer to a question, the question again, or a new question.
async fn commit(
    app: &App,
    call: &mut Call<'_>,
    route: &'static Route,
    checked: &Checked,
    askable: bool,
) -> Result<Answer, CallError> {
    if let Some(state) = &checked.request_state {
        let id = confirmation::by_token(call, state).await?;
        return answered(app, call, route, id, checked).await;
    }
    match claim(call, route, checked).await? {
        Some(Claim::Finished(finished)) => return Ok(finished.into()),
        Some(Claim::Asked(id)) => {
            if let Some(stored) = confirmation::find(call.conn, call.shop.tenant, id).await?
                && stored.question.expires_at > call.now
            {
                return Ok(asked(app, call.shop, call.locale, stored.question));
            }
            // The question has lapsed without an answer: the same key asks anew.
        }
        Some(Claim::New) | None => {}
    }
    let policy = confirmation::policy(call, &route.sheet).await?;
    app.hooks.at(route.place).await;
    if policy.never_asks() {
        return effect(call, route, checked).await;
    }
    let Runner::Commit { prepare, .. } = route.runner else {
        return Err(CallError::Broken(format!(
            "{} does not commit",
            route.sheet.name
        )));
    };
    let open = confirmation::open(call)?;
    let preview = match prepare(call, checked.arguments.clone(), policy, open).await {
        Ok(preview) => preview,
        Err(CallError::Refused(failure)) => {
            let finished = Finished::Refused(failure);
            store(call, checked, &finished).await?;
            return Ok(finished.into());
        }
        Err(fault) => return Err(fault),
    };
    if !policy.asks(preview.total) {
        return effect(call, route, checked).await;
    }
    if !askable && call.shop.unasked_clients == UnaskedClients::Refuse {
        return Err(confirmation_refused(call.locale).into());
    }
    let asking = Asking {
        tool: route.sheet.name,
        arguments: &checked.arguments,
        preview,
        open,
        approver: policy.approver,
        idempotency_key: checked.key.as_deref(),
    };
    let question = confirmation::ask(app, call, asking).await?;
    Ok(asked(app, call.shop, call.locale, question))
}

/// The retry that brings a person's answer, or forgot to.
async fn answered(
    app: &App,
    call: &mut Call<'_>,
    route: &Route,
    id: Uuid,
    checked: &Checked,
) -> Result<Answer, CallError> {
    let stored = confirmation::visible(call, id).await?;
    if stored.question.tool != route.sheet.name || stored.arguments_digest != checked.digest {
        return Err(confirmation::mismatch(call.locale).into());
    }
    // Through our agent an answer counts only with the person who gave it; behind any other client stands its own person.
    let (by, via) = match &call.caller.door {
        Door::Local | Door::Key(_) | Door::Token | Door::Session => {
            (Some(call.caller.person()), "elicitation")
        }
        Door::Agent { decided_by } => (decided_by.clone(), "agent"),
    };
    let (Some(by), Some(yes)) = (by, checked.person_says) else {
        let standing = confirmation::standing(call, stored).await?;
        return Ok(decided(app, call.shop, call.locale, standing));
    };
    let decision = confirmation::decide(
        app,
        by_name,
        call.conn,
        call.shop,
        id,
        PersonsAnswer { yes, by: &by, via },
        call.now,
    )
    .await?;
    Ok(decided(app, call.shop, call.locale, decision))
}

/// What a client said for its person.
enum Asserted {
    /// Nothing.
    Nothing,
    /// Yes, and it was acted on in this transaction.
    Decided,
    /// Yes, but it does not count.
    NotTaken(ToolFailure),
}

/// `confirm_action` with the token of a question, where the tenant lets clients assert their person's yes.
async fn asserted_by_client(
    app: &App,
    call: &mut Call<'_>,
    route: &Route,
    checked: &Checked,
) -> Result<Asserted, CallError> {
    if route.sheet.name != <ConfirmAction as contracts::tool::Tool>::NAME
        || call.shop.unasked_clients != UnaskedClients::Token
        || app.read_only
    {
        return Ok(Asserted::Nothing);
    }
    let input: ConfirmActionInput = serde_json::from_value(checked.arguments.clone())
        .map_err(|e| CallError::Broken(e.to_string()))?;
    let Some(token) = input.token else {
        return Ok(Asserted::Nothing);
    };
    if confirmation::by_token(call, &token).await? != input.confirmation_id {
        return Err(confirmation::mismatch(call.locale).into());
    }
    // A yes reaches no further than the call it is about would.
    let asked = confirmation::visible(call, input.confirmation_id).await?;
    if !by_name(&asked.question.tool).is_some_and(|route| call.caller.may_call(&route.sheet)) {
        return Err(not_allowed(call.locale).into());
    }
    let by = call.caller.person();
    let (by, via) = match &call.caller.door {
        Door::Local | Door::Key(_) | Door::Token | Door::Session => (by, "client_asserted"),
        Door::Agent {
            decided_by: Some(person),
        } => (person.clone(), "agent"),
        // The model behind our agent may have asked for this call; only a person's answer counts there.
        Door::Agent { decided_by: None } => return Ok(Asserted::Nothing),
    };
    let answer = PersonsAnswer {
        yes: true,
        by: &by,
        via,
    };
    match confirmation::decide(
        app,
        by_name,
        call.conn,
        call.shop,
        input.confirmation_id,
        answer,
        call.now,
    )
    .await?
    {
        // The tool's own answer follows: where the question stands now.
        Decision::Finished(_) | Decision::AskedAnew(_) => Ok(Asserted::Decided),
        Decision::NotTaken(failure) => Ok(Asserted::NotTaken(failure)),
    }
}

async fn claim(
    call: &mut Call<'_>,
    route: &Route,
    checked: &Checked,
) -> Result<Option<Claim>, CallError> {
    let Some(key) = &checked.key else {
        return Ok(None);
    };
    let used = Use {
        tenant: call.shop.tenant,
        principal: &call.caller.subject,
        key,
        tool: route.sheet.name,
        digest: checked.digest,
    };
    idempotency::claim(call.conn, used, call.now, call.locale)
        .await
        .map(Some)
}

async fn store(
    call: &mut Call<'_>,
    checked: &Checked,
    finished: &Finished,
) -> Result<(), CallError> {
    match &checked.key {
        Some(key) => {
            idempotency::store(
                call.conn,
                call.shop.tenant,
                &call.caller.subject,
                key,
                finished,
            )
            .await
        }
        None => Ok(()),
    }
}

fn asked(app: &App, shop: &Shop, locale: Locale, question: Question) -> Answer {
    let token = confirmation::token(&app.confirmation_key, shop.tenant, question.id);
    Answer::Asked(Box::new(Asked {
        question,
        token,
        unasked_clients: shop.unasked_clients,
        locale,
    }))
}

fn decided(app: &App, shop: &Shop, locale: Locale, decision: Decision) -> Answer {
    match decision {
        Decision::Finished(finished) => finished.into(),
        Decision::AskedAnew(question) => asked(app, shop, locale, question),
        Decision::NotTaken(failure) => Answer::Refused(failure),
    }
}

impl From<Finished> for Answer {
    fn from(finished: Finished) -> Answer {
        match finished {
            Finished::Done(value) => Answer::Done(value.to_string()),
            Finished::Refused(failure) => Answer::Refused(failure),
        }
    }
}

fn not_allowed(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "You may not do this.",
        Locale::Es => "No tiene permiso para hacer esto.",
    };
    ToolFailure::new(
        FailureCode::NotAllowed,
        message,
        "Use one of the tools in tools/list, or ask the owner.",
    )
}

fn confirmation_refused(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "This shop does not accept this through a client that cannot ask its person.",
        Locale::Es => {
            "Esta tienda no acepta esto mediante un cliente que no puede preguntar a la persona."
        }
    };
    ToolFailure::new(
        FailureCode::ConfirmationRefused,
        message,
        "Use a client with the elicitation capability, or the chat page.",
    )
}
