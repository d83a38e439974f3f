//! Conversations: created on first use, used only by their principal and staff.

use chrono::{DateTime, Utc};
use contracts::http::chat::SESSION_ID_CHARACTERS_MAX;
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::language::Language;
use crate::models::Message;
use crate::principal::Principal;

/// A conversation, locked for this transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The row's id.
    pub id: Uuid,
    /// The caller's name for it.
    pub session_id: String,
    /// Whose it is.
    pub principal: String,
    /// What a model sees of it.
    pub window: Vec<Message>,
    /// Its language, once the person has shown it.
    pub language: Option<Language>,
    /// The questions of other conversations that were shown in it last.
    pub shown: Option<Shown>,
}

/// Questions of other conversations, as they were shown in one: an answer in words means one of these and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The run that showed them. A plain yes means one only while nothing has been said since.
    pub run: Uuid,
    /// Their approvals, in the order in which they were numbered.
    pub approvals: Vec<Uuid>,
}

impl Session {
    /// Only its principal and staff may use it.
    #[must_use]
    pub fn admits(&self, principal: &Principal) -> bool {
        self.principal == principal.subject || principal.role >= PrincipalRole::Staff
    }
}

/// Whether a text can name a session: 1 to 128 letters, digits and `-_.:`.
#[must_use]
pub fn is_session_id(text: &str) -> bool {
    (1..=SESSION_ID_CHARACTERS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// The session of that name, created on first use, locked until the transaction ends. What is read afterwards, by statements of their
/// own, is as new as the lock.
pub(crate) async fn open(
    conn: &mut PgConnection,
    principal: &Principal,
    session_id: &str,
    new_id: Uuid,
    channel: &str,
    now: DateTime<Utc>,
) -> Result<Session, sqlx::Error> {
    if let Some(row) = select_named_for_update(conn, principal.tenant, session_id).await? {
        return Ok(session(row));
    }
    upsert(
        conn,
        principal.tenant,
        new_id,
        session_id,
        &principal.subject,
        channel,
        now,
    )
    .await
    .map(session)
}

/// The session of that name, if there is one.
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    session_id: &str,
) -> Result<Option<Session>, sqlx::Error> {
    Ok(select(conn, tenant, session_id).await?.map(session))
}

/// Locks a session by its row id, so that two turns of it are decided one after the other. Rows that refer to it can still be written: a
/// worker that is just storing its run must not wait for somebody who waits for that run.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Session>, sqlx::Error> {
    Ok(select_for_update(conn, tenant, id).await?.map(session))
}

/// The window of a session, as it is now. Whoever holds a run of it that runs knows that it stays so.
pub(crate) async fn window(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Vec<Message>>, sqlx::Error> {
    let window = sqlx::query_scalar!(
        r#"select conversation_history as "conversation_history: Json<Vec<Message>>" from agent.agent_sessions
           where tenant_id = $1 and id = $2"#,
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(window.map(|json| json.0))
}

/// The person has shown a language.
pub(crate) async fn set_language(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    language: Language,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.agent_sessions set metadata = metadata || $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        json!({"language": language})
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Questions of other conversations were shown.
pub(crate) async fn set_shown(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    shown: &Shown,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.agent_sessions set metadata = metadata || $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        json!({"shown": shown})
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a person said, and the turn it began.
pub(crate) struct Said<'a> {
    pub(crate) session: Uuid,
    pub(crate) run_id: Uuid,
    pub(crate) after_seq: i64,
    pub(crate) principal: &'a str,
    pub(crate) text: &'a str,
    pub(crate) request_key: Option<&'a str>,
}

/// Adds what a person said to the transcript.
pub(crate) async fn person_says(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    said: &Said<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into agent.agent_messages (tenant_id, id, session_id, run_id, role, text, principal, request_key, after_seq, created_at)
         values ($1, $2, $3, $4, 'user', $5, $6, $7, $8, $9)",
        tenant.0,
        id,
        said.session,
        said.run_id,
        said.text,
        said.principal,
        said.request_key,
        said.after_seq,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds what the assistant said to the transcript.
pub(crate) async fn assistant_says(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    session: Uuid,
    run_id: Uuid,
    text: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into agent.agent_messages (tenant_id, id, session_id, run_id, role, text, created_at)
         values ($1, $2, $3, $4, 'assistant', $5, $6)",
        tenant.0,
        id,
        session,
        run_id,
        text,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    session_id: String,
    principal: String,
    conversation_history: Json<Vec<Message>>,
    metadata: Value,
}

fn session(row: Row) -> Session {
    Session {
        id: row.id,
        session_id: row.session_id,
        principal: row.principal,
        window: row.conversation_history.0,
        language: serde_json::from_value(row.metadata["language"].clone()).unwrap_or_default(),
        shown: serde_json::from_value(row.metadata["shown"].clone()).ok(),
    }
}

async fn upsert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    session_id: &str,
    principal: &str,
    channel: &str,
    now: DateTime<Utc>,
) -> Result<Row, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"insert into agent.agent_sessions (tenant_id, id, session_id, principal, channel, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)
         on conflict (tenant_id, session_id) do update set updated_at = excluded.updated_at
         returning id, session_id, principal, conversation_history as "conversation_history: Json<Vec<Message>>", metadata"#,
        tenant.0,
        id,
        session_id,
        principal,
        channel,
        now
    )
    .fetch_one(conn)
    .await
}

async fn select(
    conn: &mut PgConnection,
    tenant: TenantId,
    session_id: &str,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select id, session_id, principal, conversation_history as "conversation_history: Json<Vec<Message>>", metadata
           from agent.agent_sessions where tenant_id = $1 and session_id = $2"#,
        tenant.0,
        session_id
    )
    .fetch_optional(conn)
    .await
}

async fn select_named_for_update(
    conn: &mut PgConnection,
    tenant: TenantId,
    session_id: &str,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select id, session_id, principal, conversation_history as "conversation_history: Json<Vec<Message>>", metadata
           from agent.agent_sessions where tenant_id = $1 and session_id = $2 for no key update"#,
        tenant.0,
        session_id
    )
    .fetch_optional(conn)
    .await
}

async fn select_for_update(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select id, session_id, principal, conversation_history as "conversation_history: Json<Vec<Message>>", metadata
           from agent.agent_sessions where tenant_id = $1 and id = $2 for no key update"#,
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::is_session_id;

    #[test]
    fn session_ids_are_plain_and_short() {
        assert!(is_session_id("a"));
        assert!(is_session_id("tour-1_2.3:4"));
        assert!(is_session_id(&"x".repeat(128)));
        for bad in ["", "a b", "ñ", "a/b", "a\0", "../x", &"x".repeat(129)] {
            assert!(!is_session_id(bad), "{bad:?}");
        }
    }
}
