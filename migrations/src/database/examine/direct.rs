//! Whether the job queue is told of new jobs, and whether the direct way to Postgres is one.

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::{Plan, Role, Target, options};
use crate::database::ACQUIRE_TIMEOUT;
use crate::database::direct::same_database;
use crate::database::notices;
use crate::finding::Finding;
use crate::open_error::OpenError;

const WHAT: &str = "jobs";
const REMEDY: &str = "Give DATABASE_DIRECT_URL an address of Postgres itself";

/// True where `DATABASE_URL` leads through something that keeps sessions from hearing, which only a pooler does.
pub(super) async fn examine(plan: Plan<'_>) -> (bool, Option<Finding>) {
    let here = match pool("DATABASE_URL", plan.url, plan) {
        Ok((_, here)) => here,
        Err(error) => return (false, Some(Finding::fail(WHAT, error.to_string()))),
    };
    let told = match notices::arrive(&here, &here).await {
        Ok(told) => told,
        Err(error) => return (false, Some(unasked(&error))),
    };
    // A program that only reads leaves the queue to others, and so does the agent.
    let finding = match plan.direct_url {
        _ if plan.only_reads || plan.role != Role::Shop => None,
        None if told => Some(Finding::fine(WHAT, "Postgres tells of new ones")),
        None => Some(Finding::warn(
            WHAT,
            format!(
                "a pooler in transaction mode is between, so new ones are found by asking once a second. {REMEDY}"
            ),
        )),
        Some(url) => Some(match by_the_direct_way(plan, url, &here).await {
            Ok(finding) => finding,
            Err(error) => Finding::fail(WHAT, error.to_string()),
        }),
    };
    here.close().await;
    (!told, finding)
}

async fn by_the_direct_way(plan: Plan<'_>, url: &str, here: &PgPool) -> Result<Finding, OpenError> {
    let through = Target::parse("DATABASE_URL", plan.url)?;
    let (target, direct) = pool("DATABASE_DIRECT_URL", url, plan)?;
    same_database(&through, &target).await?;
    let told = notices::arrive(&direct, here).await;
    direct.close().await;
    Ok(match told {
        Ok(true) => Finding::fine(WHAT, "Postgres tells of new ones, by DATABASE_DIRECT_URL"),
        Ok(false) => Finding::warn(
            WHAT,
            format!(
                "DATABASE_DIRECT_URL leads through a pooler in transaction mode, too, so new ones are found by asking once a second. {REMEDY}"
            ),
        ),
        Err(error) => unasked(&error),
    })
}

fn unasked(error: &sqlx::Error) -> Finding {
    Finding::fail(
        WHAT,
        format!(
            "whether Postgres tells of new ones could not be seen: {error}. See its log, then run this again"
        ),
    )
}

/// Like a program's, with a connection to listen and one to send.
fn pool(setting: &'static str, url: &str, plan: Plan<'_>) -> Result<(Target, PgPool), OpenError> {
    let target = Target::parse(setting, url)?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options(&target, plan));
    Ok((target, pool))
}
