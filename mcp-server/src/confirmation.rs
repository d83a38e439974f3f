//! The question a `commit` tool asks, and what an answer does (SPEC 4.3).
//!
//! A question is one row. It is asked once, under a token whose hash alone is stored; it is answered once, by a person the policy
//! admits; on yes the preview is computed again in the same transaction, and the effect happens only if its binding part is still what
//! the person agreed to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::confirmation::{Approver, Question};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::scope::Reach;
use contracts::token::{PrincipalRole, TokenPerson};
use contracts::tool::ToolSheet;
use contracts::tools::confirm::ConfirmationStatus;
use hmac::{Hmac, Mac as _};
use migrations::keys::Key;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::app::App;
use crate::audit::{self, Decided, Trace};
use crate::caller::{Caller, Door};
use crate::canonical;
use crate::error::CallError;
use crate::handler::{Call, Open, Shop};
use crate::idempotency::{self, Finished};
use crate::routes::{Agreed, Preview, Route, Runner};

/// Where a question is answered.
pub(crate) fn approval_url(public_url: &str, id: Uuid) -> String {
    format!("{public_url}/approvals/{id}")
}

/// The token of a question: 256 bits only this server can derive, so that a repeated call is asked the very same question while the
/// database holds only a hash.
pub(crate) fn token(key: &Key, tenant: TenantId, id: Uuid) -> String {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(b"countersign question 1");
    mac.update(tenant.0.as_bytes());
    mac.update(id.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether a tool asks, and who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    ask: Ask,
    pub(crate) approver: Approver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Always,
    Above(i64),
    Never,
}

impl Policy {
    /// Asks whatever it comes to.
    fn always(approver: Approver) -> Policy {
        Policy {
            ask: Ask::Always,
            approver,
        }
    }

    /// Nothing is ever asked, so there is no preview to look at.
    pub(crate) fn never_asks(self) -> bool {
        self.ask == Ask::Never
    }

    /// Whether an effect of this total has to be asked about. One without a total is not below anything.
    pub(crate) fn asks(self, total: Option<Money>) -> bool {
        match self.ask {
            Ask::Always => true,
            Ask::Never => false,
            Ask::Above(limit_minor) => total.is_none_or(|t| t.amount_minor > limit_minor),
        }
    }
}

/// The tenant's policy for a tool: ask always, answered by whom the tool names, where it has none.
pub(crate) async fn policy(call: &mut Call<'_>, sheet: &ToolSheet) -> Result<Policy, CallError> {
    let tenant = call.shop.tenant;
    let Some((ask, above_minor, approver)) = find_policy(call.conn, tenant, sheet.name).await?
    else {
        return Ok(Policy::always(sheet.approver));
    };
    let ask = match (ask.as_str(), above_minor) {
        ("never", _) => Ask::Never,
        ("above", Some(limit)) => Ask::Above(limit),
        _ => Ask::Always,
    };
    Ok(Policy {
        ask,
        approver: Approver::from_word(&approver).unwrap_or(Approver::Owner),
    })
}

/// A question with the arguments it is about.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) question: Question,
    pub(crate) status: ConfirmationStatus,
    pub(crate) answer: Option<Finished>,
    pub(crate) replaced_by: Option<Uuid>,
    pub(crate) decided_by: Option<String>,
    pub(crate) arguments_digest: [u8; 32],
    arguments: Value,
    requested_role: PrincipalRole,
    requested_customer: Option<Uuid>,
    binding_digest: [u8; 32],
    idempotency_key: Option<String>,
    pub(crate) locale: Locale,
}

/// What is asked about.
pub(crate) struct Asking<'a> {
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a Value,
    pub(crate) preview: Preview,
    pub(crate) open: Open,
    pub(crate) approver: Approver,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// The id and the end of a question that is about to be asked.
pub(crate) fn open(call: &Call<'_>) -> Result<Open, CallError> {
    let ttl = TimeDelta::from_std(call.shop.confirmation_ttl)
        .map_err(|e| CallError::Broken(format!("confirmation ttl: {e}")))?;
    Ok(Open {
        confirmation_id: call.new_id(),
        expires_at: call.now + ttl,
    })
}

/// Stores the question and returns it. The caller of `call` is the one who asks.
pub(crate) async fn ask(
    app: &App,
    call: &mut Call<'_>,
    asking: Asking<'_>,
) -> Result<Question, CallError> {
    let id = asking.open.confirmation_id;
    let Preview {
        message,
        lines,
        total,
        binding,
        informative,
        ..
    } = asking.preview;
    let question = Question {
        id,
        tool: asking.tool.to_owned(),
        message,
        lines,
        total,
        binding,
        informative,
        approver: asking.approver,
        requested_by: call.caller.subject.clone(),
        expires_at: asking.open.expires_at,
    };
    let hash = token_hash(&token(&app.confirmation_key, call.shop.tenant, id));
    let (tenant, now, locale) = (call.shop.tenant, call.now, call.locale);
    insert(
        call.conn,
        tenant,
        &question,
        asking.arguments,
        hash,
        asking.idempotency_key,
        call.caller,
        locale,
        now,
    )
    .await?;
    if let Some(key) = asking.idempotency_key {
        idempotency::tie(call.conn, tenant, &call.caller.subject, key, id).await?;
    }
    Ok(question)
}

/// A question of this caller, or any of the tenant's for staff. A customer's own are those asked as the customer she is.
pub(crate) async fn visible(call: &mut Call<'_>, id: Uuid) -> Result<Stored, CallError> {
    let stored = find(call.conn, call.shop.tenant, id).await?;
    stored
        .filter(|s| {
            let own = s.question.requested_by == call.caller.subject;
            match call.caller.confined_to() {
                Some(customer) => own && s.requested_customer == Some(customer),
                None => true,
            }
        })
        .ok_or_else(|| unknown(call.locale).into())
}

/// The id behind a token, if the caller is the one who was asked.
pub(crate) async fn by_token(call: &mut Call<'_>, token: &str) -> Result<Uuid, CallError> {
    let found = find_by_token(
        call.conn,
        call.shop.tenant,
        &token_hash(token),
        &call.caller.subject,
        call.caller.confined_to(),
    )
    .await?;
    found.ok_or_else(|| unknown(call.locale).into())
}

/// What an answer led to.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The question is settled.
    Finished(Finished),
    /// What was agreed to is no longer true: a new question takes its place.
    AskedAnew(Question),
    /// The answer does not count, and the question stays as it is.
    NotTaken(ToolFailure),
}

/// A person's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PersonsAnswer<'a> {
    /// Yes.
    pub(crate) yes: bool,
    /// Who says so.
    pub(crate) by: &'a TokenPerson,
    /// `elicitation`, `agent`, `page` or `client_asserted`.
    pub(crate) via: &'static str,
}

/// Settles a question, in the given transaction, which the caller commits whatever comes back.
pub(crate) async fn decide(
    app: &App,
    route: impl Fn(&str) -> Option<&'static Route>,
    conn: &mut PgConnection,
    shop: &Shop,
    id: Uuid,
    answer: PersonsAnswer<'_>,
    now: DateTime<Utc>,
) -> Result<Decision, CallError> {
    let Some(stored) = lock(conn, shop.tenant, id).await? else {
        return Ok(Decision::NotTaken(unknown(shop.locale)));
    };
    if let Some(settled) = already_settled(conn, shop, &stored, answer).await? {
        return Ok(settled);
    }
    let route = route(&stored.question.tool)
        .ok_or_else(|| CallError::Broken(format!("no tool {}", stored.question.tool)))?;
    if stored.question.expires_at <= now {
        set_status(conn, shop.tenant, id, "expired", None).await?;
        release(route, conn, shop.tenant, id, now).await?;
        return Ok(Decision::NotTaken(expired(stored.locale)));
    }
    if !stored.question.approver.admits(
        answer.by.role,
        answer.by.sub == stored.question.requested_by,
    ) {
        return Ok(Decision::NotTaken(not_approver(
            stored.question.approver,
            stored.locale,
        )));
    }
    if !answer.yes {
        let refused = Finished::Refused(declined(stored.locale));
        settle(conn, shop.tenant, &stored, "declined", None, answer, now).await?;
        remember(conn, shop.tenant, &stored, &refused).await?;
        release(route, conn, shop.tenant, id, now).await?;
        return Ok(Decision::Finished(refused));
    }
    let asker = Caller {
        tenant: shop.tenant,
        subject: stored.question.requested_by.clone(),
        role: stored.requested_role,
        customer: stored.requested_customer,
        // What was asked for was within reach when it was asked.
        reach: Reach::EVERYTHING,
        door: Door::Local,
    };
    Yes {
        app,
        route,
        shop,
        asker,
        stored,
        answer,
        now,
    }
    .act(conn)
    .await
}

/// A second answer: the same one gets the stored result, another one a clear code.
async fn already_settled(
    conn: &mut PgConnection,
    shop: &Shop,
    stored: &Stored,
    answer: PersonsAnswer<'_>,
) -> Result<Option<Decision>, CallError> {
    let other = || Decision::NotTaken(already_decided(stored.locale));
    Ok(match (stored.status, answer.yes) {
        (ConfirmationStatus::Open, _) => None,
        (ConfirmationStatus::Done | ConfirmationStatus::Failed, true) => {
            Some(stored.answer.clone().map_or_else(other, Decision::Finished))
        }
        (ConfirmationStatus::Declined, false) => Some(Decision::Finished(Finished::Refused(
            declined(stored.locale),
        ))),
        (ConfirmationStatus::Done | ConfirmationStatus::Failed, false)
        | (ConfirmationStatus::Declined, true) => Some(other()),
        (ConfirmationStatus::Expired, _) => Some(Decision::NotTaken(expired(stored.locale))),
        (ConfirmationStatus::Superseded, _) => {
            let next = match stored.replaced_by {
                Some(id) => find(conn, shop.tenant, id).await?,
                None => None,
            };
            Some(next.map_or_else(other, |s| Decision::AskedAnew(s.question)))
        }
    })
}

/// What a repeated call that brings no answer gets: the question while it is open, else what came of it.
pub(crate) async fn standing(call: &mut Call<'_>, stored: Stored) -> Result<Decision, CallError> {
    let locale = stored.locale;
    let settled = || Decision::NotTaken(already_decided(locale));
    Ok(match stored.status {
        ConfirmationStatus::Open if stored.question.expires_at > call.now => {
            Decision::AskedAnew(stored.question)
        }
        ConfirmationStatus::Open | ConfirmationStatus::Expired => {
            Decision::NotTaken(expired(locale))
        }
        ConfirmationStatus::Declined => Decision::Finished(Finished::Refused(declined(locale))),
        ConfirmationStatus::Done | ConfirmationStatus::Failed => {
            stored.answer.map_or_else(settled, Decision::Finished)
        }
        ConfirmationStatus::Superseded => {
            let next = match stored.replaced_by {
                Some(id) => find(call.conn, call.shop.tenant, id).await?,
                None => None,
            };
            next.map_or_else(settled, |s| Decision::AskedAnew(s.question))
        }
    })
}

/// A yes being acted on.
struct Yes<'a> {
    app: &'a App,
    route: &'static Route,
    shop: &'a Shop,
    /// The effect is the asker's, whoever said yes.
    asker: Caller,
    stored: Stored,
    answer: PersonsAnswer<'a>,
    now: DateTime<Utc>,
}

impl Yes<'_> {
    /// Prepare again, compare, do, record. Everything or nothing.
    async fn act(self, conn: &mut PgConnection) -> Result<Decision, CallError> {
        let Runner::Commit { execute, .. } = self.route.runner else {
            return Err(CallError::Broken(format!(
                "{} asks nothing",
                self.stored.question.tool
            )));
        };
        self.app.hooks.at(self.route.place).await;
        let mut savepoint = conn.begin().await?;
        let mut call = self.call(&mut savepoint);
        let arguments = self.stored.arguments.clone();
        match execute(&mut call, arguments, Some(self.stored.binding_digest)).await {
            Ok(Agreed::Done(outcome)) => {
                let (by, via) = (self.answer.by.sub.as_str(), self.answer.via);
                let decided = Decided {
                    confirmation_id: self.stored.question.id,
                    by,
                    via,
                };
                let name = self.route.sheet.name;
                let trace = Trace {
                    audit: &outcome.audit,
                    events: &outcome.events,
                };
                let arguments = &self.stored.arguments;
                audit::write(&mut call, name, arguments, trace, Some(decided)).await?;
                savepoint.commit().await?;
                self.settle(conn, "done", Finished::Done(outcome.output))
                    .await
            }
            Ok(Agreed::Changed) => {
                savepoint.rollback().await?;
                self.ask_anew(conn).await
            }
            Err(CallError::Refused(failure)) => {
                savepoint.rollback().await?;
                self.fail(conn, failure).await
            }
            Err(fault) => Err(fault),
        }
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        status: &str,
        finished: Finished,
    ) -> Result<Decision, CallError> {
        let tenant = self.shop.tenant;
        settle(
            conn,
            tenant,
            &self.stored,
            status,
            Some(&finished),
            self.answer,
            self.now,
        )
        .await?;
        remember(conn, tenant, &self.stored, &finished).await?;
        Ok(Decision::Finished(finished))
    }

    /// The business says no after all; what was held for the question is free.
    async fn fail(
        &self,
        conn: &mut PgConnection,
        failure: ToolFailure,
    ) -> Result<Decision, CallError> {
        self.release(conn).await?;
        self.settle(conn, "failed", Finished::Refused(failure))
            .await
    }

    async fn release(&self, conn: &mut PgConnection) -> Result<(), CallError> {
        let (tenant, old) = (self.shop.tenant, self.stored.question.id);
        release(self.route, conn, tenant, old, self.now).await
    }

    /// What was held for the old question is given back, and the new one holds what it is about.
    async fn ask_anew(&self, conn: &mut PgConnection) -> Result<Decision, CallError> {
        let Runner::Commit { prepare, .. } = self.route.runner else {
            return Err(CallError::Broken("a question about nothing".to_owned()));
        };
        let mut savepoint = conn.begin().await?;
        self.release(&mut savepoint).await?;
        let mut call = Call {
            confirmation: None,
            ..self.call(&mut savepoint)
        };
        let open = open(&call)?;
        let approver = self.stored.question.approver;
        let arguments = self.stored.arguments.clone();
        let preview = match prepare(&mut call, arguments, Policy::always(approver), open).await {
            Ok(preview) => preview,
            Err(CallError::Refused(failure)) => {
                savepoint.rollback().await?;
                return self.fail(conn, failure).await;
            }
            Err(fault) => return Err(fault),
        };
        let asking = Asking {
            tool: self.route.sheet.name,
            arguments: &self.stored.arguments,
            preview,
            open,
            approver,
            idempotency_key: self.stored.idempotency_key.as_deref(),
        };
        let question = ask(self.app, &mut call, asking).await?;
        let (tenant, old) = (self.shop.tenant, self.stored.question.id);
        set_status(call.conn, tenant, old, "superseded", Some(question.id)).await?;
        savepoint.commit().await?;
        Ok(Decision::AskedAnew(question))
    }

    fn call<'c>(&'c self, conn: &'c mut PgConnection) -> Call<'c> {
        Call {
            locale: self.stored.locale,
            now: self.now,
            confirmation: Some(self.stored.question.id),
            ..self.app.call(conn, self.shop, &self.asker)
        }
    }
}

/// What was held for a question is free from now on.
async fn release(
    route: &Route,
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    match route.runner {
        Runner::Commit { release, .. } => release(conn, tenant.0, id, now).await,
        Runner::Read(_) | Runner::Write(_) => Ok(()),
    }
}

/// The key of the asking call now has its answer.
async fn remember(
    conn: &mut PgConnection,
    tenant: TenantId,
    stored: &Stored,
    finished: &Finished,
) -> Result<(), CallError> {
    match &stored.idempotency_key {
        Some(key) => {
            idempotency::store(conn, tenant, &stored.question.requested_by, key, finished).await
        }
        None => Ok(()),
    }
}

async fn settle(
    conn: &mut PgConnection,
    tenant: TenantId,
    stored: &Stored,
    status: &str,
    finished: Option<&Finished>,
    answer: PersonsAnswer<'_>,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    let value = finished
        .map(serde_json::to_value)
        .transpose()
        .map_err(|e| CallError::Broken(format!("answer: {e}")))?;
    set_decided(
        conn,
        tenant,
        stored.question.id,
        status,
        value,
        &answer.by.sub,
        answer.via,
        now,
    )
    .await?;
    Ok(())
}

/// The person said no.
pub(crate) fn declined(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The person said no. Nothing was done.",
        Locale::Es => "La persona dijo que no. No se hizo nada.",
    };
    ToolFailure::new(
        FailureCode::Declined,
        message,
        "Do not repeat the call unless the person asks for it again.",
    )
}

/// Nobody answered in time.
pub(crate) fn expired(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The question was not answered in time. Nothing was done.",
        Locale::Es => "La pregunta no se respondió a tiempo. No se hizo nada.",
    };
    ToolFailure::new(
        FailureCode::Expired,
        message,
        "Call the tool again to ask anew.",
    )
}

fn unknown(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "There is no such question.",
        Locale::Es => "No existe esa pregunta.",
    };
    ToolFailure::new(
        FailureCode::UnknownConfirmation,
        message,
        "Use the confirmation_id or requestState of your own last answer, unchanged.",
    )
}

fn already_decided(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "This question was already answered the other way.",
        Locale::Es => "Esta pregunta ya se respondió de otra manera.",
    };
    ToolFailure::new(
        FailureCode::AlreadyDecided,
        message,
        "Call the tool again if the person has changed their mind.",
    )
}

/// Somebody who may not answer did.
pub(crate) fn not_approver(approver: Approver, locale: Locale) -> ToolFailure {
    let message = match (locale, approver) {
        (Locale::En, Approver::Asker) => "Only the person who asked may answer this.",
        (Locale::En, Approver::Staff) => "This has to be approved by staff or the owner.",
        (Locale::En, Approver::Owner) => "This has to be approved by the owner.",
        (Locale::Es, Approver::Asker) => "Solo puede responder quien lo pidió.",
        (Locale::Es, Approver::Staff) => "Esto lo tiene que aprobar el personal o el dueño.",
        (Locale::Es, Approver::Owner) => "Esto lo tiene que aprobar el dueño.",
    };
    ToolFailure::new(
        FailureCode::NotApprover,
        message,
        "The question stays open. Have the right person answer it on the approval page.",
    )
}

/// Another call than the one that was asked about.
pub(crate) fn mismatch(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The answer belongs to another request. Nothing was done.",
        Locale::Es => "La respuesta pertenece a otra solicitud. No se hizo nada.",
    };
    ToolFailure::new(
        FailureCode::UnknownConfirmation,
        message,
        "Repeat the call with the very arguments the question was about.",
    )
}

/// The question of a row, for showing it again.
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Stored>, CallError> {
    select(conn, tenant, id).await?.map(stored).transpose()
}

async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Stored>, CallError> {
    lock_row(conn, tenant, id).await?;
    find(conn, tenant, id).await
}

struct Row {
    question: Value,
    status: String,
    answer: Option<Value>,
    replaced_by: Option<Uuid>,
    decided_by: Option<String>,
    arguments: Value,
    arguments_digest: Vec<u8>,
    binding_digest: Vec<u8>,
    requested_role: String,
    requested_customer: Option<Uuid>,
    idempotency_key: Option<String>,
    locale: String,
}

fn stored(row: Row) -> Result<Stored, CallError> {
    let broken = |what: &str| CallError::Broken(format!("stored confirmation: {what}"));
    Ok(Stored {
        question: serde_json::from_value(row.question).map_err(|e| broken(&e.to_string()))?,
        status: serde_json::from_value(Value::from(row.status))
            .map_err(|e| broken(&e.to_string()))?,
        answer: row
            .answer
            .map(serde_json::from_value)
            .transpose()
            .map_err(|e| broken(&e.to_string()))?,
        replaced_by: row.replaced_by,
        decided_by: row.decided_by,
        arguments: row.arguments,
        arguments_digest: row
            .arguments_digest
            .try_into()
            .map_err(|_| broken("arguments digest"))?,
        binding_digest: row
            .binding_digest
            .try_into()
            .map_err(|_| broken("binding digest"))?,
        requested_role: serde_json::from_value(Value::from(row.requested_role))
            .map_err(|e| broken(&e.to_string()))?,
        requested_customer: row.requested_customer,
        idempotency_key: row.idempotency_key,
        locale: Locale::from_tag(&row.locale).unwrap_or_default(),
    })
}

async fn find_policy(
    conn: &mut PgConnection,
    tenant: TenantId,
    tool: &str,
) -> Result<Option<(String, Option<i64>, String)>, sqlx::Error> {
    let row = sqlx::query!(
        "select ask, above_minor, approver from shop.policies where tenant_id = $1 and tool = $2",
        tenant.0,
        tool
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| (r.ask, r.above_minor, r.approver)))
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    question: &Question,
    arguments: &Value,
    token_hash: [u8; 32],
    idempotency_key: Option<&str>,
    asker: &Caller,
    locale: Locale,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    let json =
        serde_json::to_value(question).map_err(|e| CallError::Broken(format!("question: {e}")))?;
    sqlx::query!(
        "insert into shop.confirmations
            (tenant_id, id, token_hash, tool, arguments, arguments_digest, question, binding_digest, requested_by, requested_role,
             requested_customer, approver, locale, idempotency_key, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        tenant.0,
        question.id,
        &token_hash[..],
        question.tool,
        arguments,
        &canonical::digest(arguments)[..],
        json,
        &canonical::digest(&question.binding)[..],
        question.requested_by,
        asker.role.word(),
        asker.customer,
        question.approver.word(),
        locale.tag(),
        idempotency_key,
        now,
        question.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn select(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select question, status, answer, replaced_by, decided_by, arguments, arguments_digest, binding_digest, requested_role,
                requested_customer,                idempotency_key, locale
         from shop.confirmations where tenant_id = $1 and id = $2",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn find_by_token(
    conn: &mut PgConnection,
    tenant: TenantId,
    hash: &[u8],
    requested_by: &str,
    customer: Option<Uuid>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from shop.confirmations
         where tenant_id = $1 and token_hash = $2 and requested_by = $3 and requested_customer is not distinct from $4::uuid",
        tenant.0,
        hash,
        requested_by,
        customer
    )
    .fetch_optional(conn)
    .await
}

async fn lock_row(conn: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        "select id from shop.confirmations where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    status: &str,
    replaced_by: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.confirmations set status = $3, replaced_by = $4 where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        status,
        replaced_by
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn set_decided(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    status: &str,
    answer: Option<Value>,
    by: &str,
    via: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.confirmations set status = $3, answer = $4, decided_by = $5, decided_via = $6, decided_at = $7
         where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        status,
        answer,
        by,
        via,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}
