//! Lets go of times that were held for a question nobody answered. They are free already, because whoever wants one looks at the clock; this
//! only makes the rows say so.

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, Wanted};
use crate::app::App;
use crate::bookings;
use crate::error::CallError;

/// See the module. The job's id is the tenant's.
pub(super) struct ExpireHolds;

impl Job for ExpireHolds {
    const NAME: &'static str = "expire_holds";

    async fn run(app: &App, tenant: TenantId, _id: Uuid) -> Result<(), CallError> {
        let mut tx = app.begin(tenant).await?;
        bookings::expire_holds(&mut tx, tenant, app.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Shops with holds whose time has passed.
pub(super) async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    let tenants = sqlx::query_scalar!(
        r#"select tenants_with_lapsed_holds as "id!" from shop.tenants_with_lapsed_holds($1, $2)"#,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    let wanted = |tenant| Wanted::of::<ExpireHolds>(tenant, tenant);
    Ok(tenants.into_iter().map(wanted).collect())
}
