//! What a reader has of a run already: a stream that begins in the middle goes on as it was. The log is read a page at a time.

use contracts::http::event::{EventBody, RunEvent};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Projection;
use crate::app::App;

/// Events per page. No more of a log than this is in memory for one reader.
const PAGE: i64 = 200;

/// Tells the projection every event up to `seq`. The caller has checked that the run may be read. No connection is held between pages.
///
/// # Errors
/// When the log cannot be read.
pub async fn pass(
    app: &App,
    tenant: TenantId,
    projection: &mut Projection,
    seq: i64,
) -> Result<(), sqlx::Error> {
    let mut after = 0;
    // Each page moves on, so there are no more of them than events.
    while after < seq {
        let mut tx = app.begin(tenant).await?;
        let page = page(&mut tx, tenant, projection.run_id(), after, seq).await?;
        drop(tx);
        let Some(last) = page.last() else {
            break;
        };
        after = last.seq;
        page.iter().for_each(|event| projection.pass(event));
    }
    Ok(())
}

/// Whether a person's message began the turn after `after_seq`, rather than an answer to the question itself. The caller has checked that
/// the run may be read.
///
/// # Errors
/// When the transcript cannot be read.
pub async fn began_in_words(
    app: &App,
    tenant: TenantId,
    run_id: Uuid,
    after_seq: i64,
) -> Result<bool, sqlx::Error> {
    let mut tx = app.begin(tenant).await?;
    said(&mut tx, tenant, run_id, after_seq).await
}

async fn said(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    after_seq: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from agent.agent_messages where tenant_id = $1 and role = 'user' and run_id = $2 and after_seq = $3
             and session_id = (select session_id from agent.runs where tenant_id = $1 and id = $2)) as "said!""#,
        tenant.0,
        run_id,
        after_seq
    )
    .fetch_one(conn)
    .await
}

async fn page(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    after: i64,
    until: i64,
) -> Result<Vec<RunEvent>, sqlx::Error> {
    let rows = sqlx::query!(
        "select seq, body, at from agent.run_events where tenant_id = $1 and run_id = $2 and seq > $3 and seq <= $4 order by seq limit $5",
        tenant.0,
        run_id,
        after,
        until,
        PAGE
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let body: EventBody =
                serde_json::from_value(row.body).map_err(|e| sqlx::Error::Decode(e.into()))?;
            Ok(RunEvent {
                seq: row.seq,
                at: row.at,
                body,
            })
        })
        .collect()
}
