//! What a key was used for, and what was answered. The row is written in the transaction of the effect, so there is never one without
//! the other.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::CallError;

/// How long a key is remembered.
const KEPT: TimeDelta = TimeDelta::hours(48);

/// A finished call: what it answered, refusals included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finished {
    /// It was done.
    Done(Value),
    /// The business said no.
    Refused(ToolFailure),
}

/// What a key stands for.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// Ours now: do the work and [`store`] its answer.
    New,
    /// The work was done: answer the same again.
    Finished(Finished),
    /// A question was asked for it.
    Asked(Uuid),
}

/// One use of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) principal: &'a str,
    pub(crate) key: &'a str,
    pub(crate) tool: &'a str,
    pub(crate) digest: [u8; 32],
}

/// Claims the key, waiting for another transaction that is using it just now.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    used: Use<'_>,
    now: DateTime<Utc>,
    locale: Locale,
) -> Result<Claim, CallError> {
    if insert(conn, used, now, now + KEPT).await? {
        return Ok(Claim::New);
    }
    let row = find(conn, used)
        .await?
        .ok_or_else(|| CallError::Broken("a key is taken and not there".to_owned()))?;
    if row.tool != used.tool || row.digest != used.digest {
        return Err(conflict(locale).into());
    }
    match (row.answer, row.confirmation_id) {
        (Some(answer), _) => serde_json::from_value(answer)
            .map(Claim::Finished)
            .map_err(|e| CallError::Broken(format!("stored answer: {e}"))),
        (None, Some(confirmation)) => Ok(Claim::Asked(confirmation)),
        (None, None) => Err(CallError::Broken(
            "a key was committed without answer or question".to_owned(),
        )),
    }
}

/// Stores the answer under the key.
pub(crate) async fn store(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
    key: &str,
    finished: &Finished,
) -> Result<(), CallError> {
    set_answer(conn, tenant, principal, key, Json(finished)).await?;
    Ok(())
}

/// Ties the key to the question that was asked for it.
pub(crate) async fn tie(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
    key: &str,
    confirmation: Uuid,
) -> Result<(), CallError> {
    set_confirmation(conn, tenant, principal, key, confirmation).await?;
    Ok(())
}

fn conflict(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "This key was already used for another request. Nothing was done.",
        Locale::Es => "Esta clave ya se usó para otra solicitud. No se hizo nada.",
    };
    ToolFailure::new(
        FailureCode::IdempotencyConflict,
        message,
        "Use a new idempotency_key for a new wish; repeat a call with its very arguments.",
    )
    .at(contracts::tool::IDEMPOTENCY_KEY)
}

struct Row {
    tool: String,
    digest: [u8; 32],
    confirmation_id: Option<Uuid>,
    answer: Option<Value>,
}

/// A lapsed row of the same key makes room.
async fn insert(
    conn: &mut PgConnection,
    used: Use<'_>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.idempotency as i (tenant_id, principal, key, tool, arguments_digest, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant_id, principal, key) do update
            set tool = excluded.tool, arguments_digest = excluded.arguments_digest, confirmation_id = null, answer = null,
                created_at = excluded.created_at, expires_at = excluded.expires_at
            where i.expires_at < $6",
        used.tenant.0,
        used.principal,
        used.key,
        used.tool,
        &used.digest[..],
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn find(conn: &mut PgConnection, used: Use<'_>) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query!(
        "select tool, arguments_digest, confirmation_id, answer from shop.idempotency
         where tenant_id = $1 and principal = $2 and key = $3 for update",
        used.tenant.0,
        used.principal,
        used.key,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| Row {
        tool: r.tool,
        digest: r.arguments_digest.try_into().unwrap_or_default(),
        confirmation_id: r.confirmation_id,
        answer: r.answer,
    }))
}

async fn set_answer(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
    key: &str,
    answer: Json<&Finished>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.idempotency set answer = $4 where tenant_id = $1 and principal = $2 and key = $3",
        tenant.0,
        principal,
        key,
        answer as Json<&Finished>
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_confirmation(
    conn: &mut PgConnection,
    tenant: TenantId,
    principal: &str,
    key: &str,
    confirmation: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.idempotency set confirmation_id = $4 where tenant_id = $1 and principal = $2 and key = $3",
        tenant.0,
        principal,
        key,
        confirmation
    )
    .execute(conn)
    .await?;
    Ok(())
}
