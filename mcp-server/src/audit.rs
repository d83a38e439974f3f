//! The one audit row of every effect.

use contracts::ids::TenantId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::{Audit, Call};

/// Who said yes, and how we know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided<'a> {
    /// The question.
    pub(crate) confirmation_id: Uuid,
    /// The person.
    pub(crate) by: &'a str,
    /// The way the answer came.
    pub(crate) via: &'a str,
}

/// Writes the row, in the effect's own transaction.
pub(crate) async fn write(
    call: &mut Call<'_>,
    tool: &str,
    arguments: &Value,
    audit: &Audit,
    decided: Option<Decided<'_>>,
) -> Result<(), CallError> {
    let (id, at, tenant, requested_by) = (
        call.new_id(),
        call.now,
        call.shop.tenant,
        call.caller.subject.clone(),
    );
    insert(
        call.conn,
        tenant,
        id,
        at,
        tool,
        &requested_by,
        decided,
        arguments,
        audit,
    )
    .await?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    at: chrono::DateTime<chrono::Utc>,
    tool: &str,
    requested_by: &str,
    decided: Option<Decided<'_>>,
    arguments: &Value,
    audit: &Audit,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.audit_log
            (tenant_id, id, at, tool, requested_by, decided_by, decided_via, confirmation_id, arguments, subject, before, after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant.0,
        id,
        at,
        tool,
        requested_by,
        decided.map(|d| d.by),
        decided.map(|d| d.via),
        decided.map(|d| d.confirmation_id),
        arguments,
        audit.subject,
        audit.before,
        audit.after,
    )
    .execute(conn)
    .await?;
    Ok(())
}
