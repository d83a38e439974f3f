//! Whether the job queue can be told of new jobs, and whether the direct way to Postgres is one.

use sqlx::postgres::PgPoolOptions;

use super::{Plan, Role, Target, options};
use crate::database::ACQUIRE_TIMEOUT;
use crate::database::direct::same_database;
use crate::database::sessions;
use crate::finding::Finding;

const WHAT: &str = "jobs";
const SETTING: &str = "DATABASE_DIRECT_URL";
const REMEDY: &str = "Give DATABASE_DIRECT_URL an address of Postgres itself";

/// True where `DATABASE_URL` leads through a pooler that gives a connection's session away after every transaction.
pub(super) async fn examine(plan: Plan<'_>) -> (bool, Option<Finding>) {
    let own = match are_own("DATABASE_URL", plan.url, plan).await {
        Ok(own) => own,
        Err(finding) => return (false, Some(finding)),
    };
    // A program that only reads leaves the queue to others, and so does the agent.
    let finding = match plan.direct_url {
        _ if plan.only_reads || plan.role != Role::Shop => None,
        None if own => Some(Finding::fine(WHAT, "Postgres tells of new ones")),
        None => Some(Finding::warn(
            WHAT,
            format!(
                "a pooler in transaction mode is between, so new ones are found by asking once a second. {REMEDY}"
            ),
        )),
        Some(url) => Some(by_the_direct_way(plan, url).await),
    };
    (!own, finding)
}

async fn by_the_direct_way(plan: Plan<'_>, url: &str) -> Finding {
    let own = match are_own(SETTING, url, plan).await {
        Ok(own) => own,
        Err(finding) => return finding,
    };
    let both = Target::parse("DATABASE_URL", plan.url)
        .and_then(|through| Ok((through, Target::parse(SETTING, url)?)));
    let same = match both {
        Ok((through, direct)) => same_database(&through, &direct).await,
        Err(error) => Err(error),
    };
    match same {
        Err(error) => Finding::fail(WHAT, error.to_string()),
        Ok(()) if own => Finding::fine(WHAT, "Postgres tells of new ones, by DATABASE_DIRECT_URL"),
        Ok(()) => Finding::warn(
            WHAT,
            format!(
                "DATABASE_DIRECT_URL leads through a pooler in transaction mode, too, so new ones are found by asking once a second. {REMEDY}"
            ),
        ),
    }
}

/// Whether connections like a program's are sessions of their own.
async fn are_own(setting: &'static str, url: &str, plan: Plan<'_>) -> Result<bool, Finding> {
    let target =
        Target::parse(setting, url).map_err(|error| Finding::fail(WHAT, error.to_string()))?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options(&target, plan));
    let own = sessions::are_own(&pool).await;
    pool.close().await;
    own.map_err(|error| Finding::fail(WHAT, target.explain(error).to_string()))
}
