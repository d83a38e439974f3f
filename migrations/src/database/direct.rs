//! A way to Postgres itself, beside one through a pooler.

use sqlx::{Connection as _, PgConnection};

use super::target::Target;
use crate::open_error::OpenError;

/// Both must lead to one database of one running server: whoever listens on the one is told of what is committed through the other, and a
/// queue that is filled in one database is not worked on in another.
pub(super) async fn same_database(target: &Target, direct: &Target) -> Result<(), OpenError> {
    if identity(target).await? == identity(direct).await? {
        return Ok(());
    }
    Err(OpenError::OtherDatabase {
        direct: direct.address.clone(),
        address: target.address.clone(),
    })
}

async fn identity(target: &Target) -> Result<String, OpenError> {
    let mut connection = target.connect(&[]).await?;
    let found = server_and_database(&mut connection).await?;
    connection.close().await?;
    Ok(found)
}

/// When the server was started, to the microsecond, and the database's number there; everybody may ask for both.
async fn server_and_database(connection: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "select extract(epoch from pg_postmaster_start_time())::text || ' ' || d.oid
           from pg_catalog.pg_database d where d.datname = current_database()",
    )
    .fetch_one(connection)
    .await
}
