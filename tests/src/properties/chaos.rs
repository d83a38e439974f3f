//! What goes wrong meanwhile: connections to Postgres are cut under the servers, and the servers are killed and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::script::Draw;
use crate::program::{Program, Stage};

/// Pauses between cut connections, milliseconds.
const CUT_EVERY_MS: (u64, u64) = (60, 400);
/// Pauses between deaths of a server, milliseconds.
const KILL_EVERY_MS: (u64, u64) = (2_000, 6_000);

/// How often what went wrong.
#[derive(Debug, Default)]
pub struct Toll {
    /// Connections cut in the middle of a transaction.
    pub cut_in_transaction: AtomicU32,
    /// Connections cut.
    pub cut: AtomicU32,
    /// Servers killed and started again.
    pub killed: AtomicU32,
    /// Held while a server starts.
    starting: Mutex<()>,
}

/// Cuts connections of the servers until stopped.
pub async fn cut(admin: PgPool, seed: u64, toll: Arc<Toll>, stop: CancellationToken) {
    let mut draw = Draw::new(seed);
    while !paused(&mut draw, CUT_EVERY_MS, &stop).await {
        // A program that cannot look at its database when it starts says so and ends, as it should.
        let _nobody_starts = toll.starting.lock().await;
        // Mostly one that is in the middle of something.
        let busy = draw.percent(80);
        let found: Result<Option<bool>, sqlx::Error> = sqlx::query_scalar(
            "select case when pg_terminate_backend(pid) then xact_start is not null end from pg_stat_activity
             where datname = current_database() and application_name = 'countersign mcp-server'
             order by (xact_start is not null) = $1 desc, random() limit 1",
        )
        .bind(busy)
        .fetch_optional(&admin)
        .await;
        if let Ok(Some(in_transaction)) = found {
            toll.cut.fetch_add(1, Ordering::Relaxed);
            toll.cut_in_transaction
                .fetch_add(u32::from(in_transaction), Ordering::Relaxed);
        }
    }
}

/// Kills one server after the other and starts it again where it was, until stopped.
pub async fn kill(
    stage: Arc<Stage>,
    mut servers: [Program; 2],
    seed: u64,
    toll: Arc<Toll>,
    stop: CancellationToken,
) {
    let mut draw = Draw::new(seed);
    while !paused(&mut draw, KILL_EVERY_MS, &stop).await {
        let victim = usize::from(draw.percent(50));
        let _starting = toll.starting.lock().await;
        servers[victim].kill().await;
        servers[victim] = stage.server_again(&servers[victim].url).await;
        toll.killed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits, and says whether it is over.
async fn paused(draw: &mut Draw, between_ms: (u64, u64), stop: &CancellationToken) -> bool {
    let pause_ms = between_ms.0 + draw.below(between_ms.1 - between_ms.0);
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(Duration::from_millis(pause_ms)) => false,
    }
}
