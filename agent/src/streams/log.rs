//! What a reader has of a run already, read from the log a page at a time: a stream that begins in the middle goes on as it was.

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
