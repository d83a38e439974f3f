//! What must be true of a server, a database and a login before a program may work with them, and making it so where we may.
//!
//! Everything an administrator has to do is found out before anything is changed, and told at once.

use sqlx::{AssertSqlSafe, Connection, Executor, FromRow, PgConnection};

use super::queue;
use super::schema::{self, State};
use super::target::Target;
use super::{Role, STATEMENT_TIMEOUT_MS};
use crate::open_error::{OLDEST_MAJOR, OpenError};

/// Extensions the migrations use, each creatable without a superuser where Postgres trusts it.
const EXTENSIONS: [&str; 4] = ["pg_trgm", "unaccent", "btree_gist", "btree_gin"];

/// What one login is and may, in one database.
#[derive(Debug, Clone, FromRow)]
struct Facts {
    database: String,
    login: String,
    version: String,
    version_num: i32,
    encoding: String,
    knows_letters: bool,
    is_superuser: bool,
    bypasses_rls: bool,
    may_make_roles: bool,
    owns_database: bool,
    may_make_schemas: bool,
    may_make_tables: bool,
}

impl Facts {
    fn may_migrate(&self) -> bool {
        self.is_superuser || self.owns_database
    }

    fn may_make_roles(&self) -> bool {
        self.is_superuser || self.may_make_roles
    }
}

/// One of our roles, as seen from the session's login.
#[derive(Debug, Clone, FromRow)]
struct RoleFacts {
    is_there: bool,
    /// The session's login may grant it to others.
    may_be_granted: bool,
    /// The program's login is the role, or a member of it, or may become anyone.
    has_login: bool,
}

/// An extension of ours in this database.
#[derive(Debug, Clone, FromRow)]
struct ExtensionFacts {
    name: String,
    schema: Option<String>,
    may_be_made: bool,
}

/// A login that may be used for the pool.
#[derive(Debug)]
pub(super) struct Login {
    name: String,
    must_switch: bool,
}

impl Login {
    /// That of an address, where connections must not become anything else.
    pub(super) fn as_it_is(target: &Target) -> Self {
        Self {
            name: target.options.get_username().to_owned(),
            must_switch: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its connections have to become the program's role, since row level security would not bind them, or grant them nothing.
    pub(super) fn must_switch(&self) -> bool {
        self.must_switch
    }
}

/// Checks the login and its server, migrates if a login that may is at hand, and sees that the login can work as `role`.
pub(super) async fn make_ready(
    target: &Target,
    owner: Option<&Target>,
    role: Role,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Login, OpenError> {
    let mut connection = target
        .connect(&[("statement_timeout", STATEMENT_TIMEOUT_MS)])
        .await?;
    let facts = facts(&mut connection).await?;
    check_server(target, &facts)?;
    if facts.login == role.name() {
        // There is nothing safer to become.
        refuse_unbound(&mut connection, &facts, role).await?;
    }
    // Without an owner's login, one that owns the database anyway serves: small installations have one login.
    let owner = owner.or_else(|| facts.may_migrate().then_some(target));
    match owner {
        Some(owner) => {
            let wants = Wants {
                login: &facts.login,
                role,
                // The single login of a small installation is that of both programs.
                shared: facts.may_migrate(),
            };
            migrate(owner, Some(wants), progress).await?;
        }
        None => check_membership(&mut connection, &facts, role).await?,
    }
    // After migrating, too: the two addresses may lead to different databases. In one transaction, because a pooler may give the connection
    // to somebody else after it, and who it had become with it.
    let mut looking = connection.begin().await?;
    become_role(&mut looking, &facts, role).await?;
    check_schema(&mut looking).await?;
    looking.rollback().await?;
    let must_switch = must_switch(&mut connection, &facts, role).await?;
    connection.close().await?;
    Ok(Login {
        name: facts.login,
        must_switch,
    })
}

/// Checks the login and its server for a program that only reads, and changes nothing. A member of `role` serves, and so does a login that
/// was given what there is to read and nothing else.
pub(super) async fn make_ready_reading(target: &Target, role: Role) -> Result<Login, OpenError> {
    let mut connection = target
        .connect(&[("statement_timeout", STATEMENT_TIMEOUT_MS)])
        .await?;
    let facts = facts(&mut connection).await?;
    check_server(target, &facts)?;
    let found = role_facts(&mut connection, role, &facts.login).await?;
    if !found.is_there {
        return Err(needs_migration(&State::Missing));
    }
    let mut looking = connection.begin().await?;
    if found.has_login {
        become_role(&mut looking, &facts, role).await?;
    } else if !reads(&mut looking).await? {
        return Err(needs_administrator(&facts, &[let_read(&facts.login)]));
    }
    match schema::state(&mut looking).await? {
        State::Current => {}
        state => return Err(needs_migration(&state)),
    }
    looking.rollback().await?;
    let must_switch = found.has_login && must_switch(&mut connection, &facts, role).await?;
    connection.close().await?;
    Ok(Login {
        name: facts.login,
        must_switch,
    })
}

/// Whether the session's login may look at the businesses.
async fn reads(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select coalesce((select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
                            from pg_catalog.pg_namespace n join pg_catalog.pg_class c on c.relnamespace = n.oid
                           where n.nspname = 'shop' and c.relname = 'tenants'), false)",
    )
    .fetch_one(connection)
    .await
}

/// The login of a pool, which the migrating login may have to make a member of the role.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants<'a> {
    login: &'a str,
    role: Role,
    shared: bool,
}

/// Migrates, if anything is missing, after finding out that nothing will be in the way.
pub(super) async fn migrate(
    owner: &Target,
    wants: Option<Wants<'_>>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(), OpenError> {
    let mut connection = owner.connect(&schema::MIGRATION_OPTIONS).await?;
    let facts = facts(&mut connection).await?;
    check_server(owner, &facts)?;
    let state = schema::state(&mut connection).await?;
    let has_queue = queue::is_current(&mut connection).await?;
    let grants = plan(&mut connection, &facts, &state, wants).await?;
    if state != State::Current || !has_queue {
        progress("Bringing the schema up to date ...");
        schema::run(&mut connection).await?;
        queue::migrate(owner, &mut connection).await?;
    }
    for grant in grants {
        connection.execute(AssertSqlSafe(grant)).await?;
    }
    connection.close().await?;
    Ok(())
}

/// The grants to make after migrating. What this login may not do becomes one message with all of it.
async fn plan(
    connection: &mut PgConnection,
    facts: &Facts,
    state: &State,
    wants: Option<Wants<'_>>,
) -> Result<Vec<String>, OpenError> {
    let mut grants = Vec::new();
    let mut lines = Vec::new();
    for role in Role::ALL {
        let login = wants
            .filter(|wants| wants.shared || wants.role == role)
            .map(|wants| wants.login);
        let found = role_facts(connection, role, login.unwrap_or(&facts.login)).await?;
        // Once migrated, a missing role was lost (a restored dump): its rights are gone with it, so it is not simply made again.
        let is_made_by_migration = *state == State::Missing && facts.may_make_roles();
        if !found.is_there && !is_made_by_migration {
            lines.push(format!(
                "create role {} nologin nosuperuser nobypassrls;",
                role.name()
            ));
        }
        let Some(login) = login.filter(|_| !found.has_login) else {
            continue;
        };
        let grant = grant(role, login);
        let may_grant =
            facts.is_superuser || found.may_be_granted || (!found.is_there && is_made_by_migration);
        if may_grant {
            grants.push(grant);
        } else {
            lines.push(grant);
        }
    }
    if *state != State::Current {
        lines.extend(missing_rights(facts));
        lines.extend(missing_extensions(connection).await?);
    }
    if lines.is_empty() {
        return Ok(grants);
    }
    Err(needs_administrator(facts, &lines))
}

fn needs_administrator(facts: &Facts, lines: &[String]) -> OpenError {
    OpenError::NeedsAdministrator {
        database: facts.database.clone(),
        login: facts.login.clone(),
        sql: lines.join("\n"),
    }
}

fn missing_rights(facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    if !facts.may_make_schemas {
        lines.push(format!(
            "grant create on database {} to {};",
            quoted(&facts.database),
            quoted(&facts.login)
        ));
    }
    if !facts.may_make_tables {
        lines.push(format!(
            "grant create on schema public to {};",
            quoted(&facts.login)
        ));
    }
    lines
}

async fn missing_extensions(connection: &mut PgConnection) -> Result<Vec<String>, OpenError> {
    let mut lines = Vec::new();
    for found in extensions(connection).await? {
        match found.schema.as_deref() {
            Some("public") => {}
            Some(_) => lines.push(format!("alter extension {} set schema public;", found.name)),
            None if found.may_be_made => {}
            None => lines.push(format!(
                "create extension {} with schema public;",
                found.name
            )),
        }
    }
    Ok(lines)
}

fn check_server(target: &Target, facts: &Facts) -> Result<(), OpenError> {
    let oldest = i32::try_from(OLDEST_MAJOR * 10_000).unwrap_or(i32::MAX);
    if facts.version_num < oldest {
        return Err(OpenError::ServerTooOld {
            address: target.address.clone(),
            found: facts.version.clone(),
        });
    }
    if facts.encoding != "UTF8" {
        return Err(OpenError::NotUtf8 {
            address: target.address.clone(),
            found: facts.encoding.clone(),
        });
    }
    if !facts.knows_letters {
        tracing::warn!(
            database = facts.database,
            "the database's locale knows letters of English only, so names in other scripts are found by exact case; \
             a database made with lc_ctype 'C.UTF-8' would find them"
        );
    }
    Ok(())
}

/// For a login that may not migrate: the role must be there and the login a member of it.
async fn check_membership(
    connection: &mut PgConnection,
    facts: &Facts,
    role: Role,
) -> Result<(), OpenError> {
    let found = role_facts(connection, role, &facts.login).await?;
    if !found.is_there {
        return Err(needs_migration(&State::Missing));
    }
    if !found.has_login {
        return Err(needs_administrator(facts, &[grant(role, &facts.login)]));
    }
    Ok(())
}

/// Becomes the role for the rest of the transaction, so that rights the login does not inherit count, too.
async fn become_role(
    connection: &mut PgConnection,
    facts: &Facts,
    role: Role,
) -> Result<(), OpenError> {
    match connection.execute(role.set_local_role()).await {
        Ok(_) => Ok(()),
        // A member may be kept from becoming the role (since version 16).
        Err(error)
            if error
                .as_database_error()
                .and_then(|error| error.code())
                .as_deref()
                == Some("42501") =>
        {
            Err(needs_administrator(facts, &[grant(role, &facts.login)]))
        }
        Err(error) => Err(error.into()),
    }
}

/// The schema must be what this program needs.
async fn check_schema(connection: &mut PgConnection) -> Result<(), OpenError> {
    match schema::state(connection).await? {
        State::Current if queue::is_current(connection).await? => Ok(()),
        State::Current => Err(OpenError::QueueMissing),
        state => Err(needs_migration(&state)),
    }
}

fn needs_migration(state: &State) -> OpenError {
    OpenError::NeedsMigration {
        found: match state {
            State::Behind(version) => format!("at version {version}"),
            State::Missing | State::Current => "missing".to_owned(),
        },
        needed: schema::needed(),
    }
}

fn grant(role: Role, login: &str) -> String {
    format!("grant {} to {};", role.name(), quoted(login))
}

/// Whether connections of this login have to become the role: because row level security does not bind the login, or because the
/// role's rights do not come to it by themselves.
async fn must_switch(
    connection: &mut PgConnection,
    facts: &Facts,
    role: Role,
) -> Result<bool, OpenError> {
    if facts.login == role.name() {
        return Ok(false);
    }
    if facts.is_superuser || facts.bypasses_rls || facts.owns_database {
        return Ok(true);
    }
    Ok(owns_our_things(connection).await? || !inherits(connection, role).await?)
}

/// Proves on a connection of the pool that row level security binds it.
pub(super) async fn prove_bound(
    connection: &mut PgConnection,
    role: Role,
) -> Result<(), OpenError> {
    let facts = facts(connection).await?;
    refuse_unbound(connection, &facts, role).await?;
    if inherits(connection, role).await? {
        return Ok(());
    }
    Err(OpenError::UnsafeRole {
        role: facts.login,
        fault: "has none of the rights it needs",
        wanted: role.name(),
    })
}

/// Like [`prove_bound`], where the right to read is enough.
pub(super) async fn prove_bound_reading(
    connection: &mut PgConnection,
    role: Role,
) -> Result<(), OpenError> {
    let facts = facts(connection).await?;
    refuse_unbound(connection, &facts, role).await?;
    if inherits(connection, role).await? || reads(connection).await? {
        return Ok(());
    }
    Err(OpenError::UnsafeRole {
        role: facts.login,
        fault: "has none of the rights it needs",
        wanted: role.name(),
    })
}

/// Proves on a connection that is to read only that Postgres refuses whatever would write: because the option it began with holds, or
/// because its login has no right to write. A pooler between may have dropped the option.
pub(super) async fn prove_reading(
    connection: &mut PgConnection,
    role: Role,
) -> Result<(), OpenError> {
    let holds: String =
        sqlx::query_scalar("select current_setting('default_transaction_read_only')")
            .fetch_one(&mut *connection)
            .await?;
    if holds == "on" || !inherits(connection, role).await? {
        return Ok(());
    }
    let login = facts(connection).await?.login;
    Err(OpenError::WouldWrite { login })
}

/// The session's role must not be one that reads every tenant's rows.
async fn refuse_unbound(
    connection: &mut PgConnection,
    facts: &Facts,
    role: Role,
) -> Result<(), OpenError> {
    let fault = if facts.is_superuser {
        "is a superuser"
    } else if facts.bypasses_rls {
        "may bypass row level security"
    } else if facts.owns_database || owns_our_things(connection).await? {
        "owns the tables"
    } else {
        return Ok(());
    };
    Err(OpenError::UnsafeRole {
        role: facts.login.clone(),
        fault,
        wanted: role.name(),
    })
}

/// Gives a login what there is to read.
fn let_read(login: &str) -> String {
    format!("call shop.let_read('{}');", login.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if is_plain {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn facts(connection: &mut PgConnection) -> sqlx::Result<Facts> {
    sqlx::query_as(
        "select d.datname::text as database,
                r.rolname::text as login,
                current_setting('server_version') as version,
                current_setting('server_version_num')::int as version_num,
                pg_encoding_to_char(d.encoding)::text as encoding,
                case pg_encoding_to_char(d.encoding) when 'UTF8'
                  -- Zhe, capital and small; not a constant, which would be worked out in other encodings, too.
                  then lower(chr(1046 + 0 * d.encoding)) = chr(1078 + 0 * d.encoding) else true end as knows_letters,
                r.rolsuper as is_superuser,
                r.rolbypassrls as bypasses_rls,
                r.rolcreaterole as may_make_roles,
                pg_has_role(d.datdba, 'usage') as owns_database,
                has_database_privilege(d.oid, 'create') as may_make_schemas,
                coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'create'), false)
                  as may_make_tables
           from pg_catalog.pg_database d, pg_catalog.pg_roles r
          where d.datname = current_database() and r.rolname = current_user",
    )
    .fetch_one(connection)
    .await
}

async fn role_facts(
    connection: &mut PgConnection,
    role: Role,
    login: &str,
) -> sqlx::Result<RoleFacts> {
    // Before version 16 whoever may make roles may grant any plain one; since then only those granted to it for granting.
    sqlx::query_as(
        "select r.oid is not null as is_there,
                coalesce(pg_has_role(r.oid, 'member with admin option'), false)
                  or (r.oid is not null and me.rolcreaterole
                      and current_setting('server_version_num')::int < 160000) as may_be_granted,
                coalesce(pg_has_role(l.oid, r.oid, 'member'), false) as has_login
           from pg_catalog.pg_roles me
           left join pg_catalog.pg_roles r on r.rolname = $1
           left join pg_catalog.pg_roles l on l.rolname = $2
          where me.rolname = current_user",
    )
    .bind(role.name())
    .bind(login)
    .fetch_one(connection)
    .await
}

async fn extensions(connection: &mut PgConnection) -> sqlx::Result<Vec<ExtensionFacts>> {
    sqlx::query_as(
        "select wanted.name,
                n.nspname::text as schema,
                coalesce((select bool_or(me.rolsuper
                                         or (v.trusted and has_database_privilege(current_database(), 'create')))
                            from pg_catalog.pg_available_extension_versions v
                           where v.name = wanted.name), false) as may_be_made
           from unnest($1::text[]) as wanted (name)
           join pg_catalog.pg_roles me on me.rolname = current_user
           left join pg_catalog.pg_extension e on e.extname = wanted.name
           left join pg_catalog.pg_namespace n on n.oid = e.extnamespace",
    )
    .bind(&EXTENSIONS[..])
    .fetch_all(connection)
    .await
}

async fn owns_our_things(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from pg_catalog.pg_namespace n
                         where n.nspname in ('shop', 'agent')
                           and (pg_has_role(n.nspowner, 'usage')
                                or exists (select from pg_catalog.pg_class c
                                            where c.relnamespace = n.oid and pg_has_role(c.relowner, 'usage'))))",
    )
    .fetch_one(connection)
    .await
}

async fn inherits(connection: &mut PgConnection, role: Role) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select coalesce((select pg_has_role(r.oid, 'usage') from pg_catalog.pg_roles r where r.rolname = $1), false)",
    )
    .bind(role.name())
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_facts() -> Facts {
        Facts {
            database: "shop".to_owned(),
            login: "app".to_owned(),
            version: "15.18".to_owned(),
            version_num: 150_018,
            encoding: "UTF8".to_owned(),
            knows_letters: true,
            is_superuser: false,
            bypasses_rls: false,
            may_make_roles: false,
            owns_database: false,
            may_make_schemas: false,
            may_make_tables: false,
        }
    }

    #[test]
    fn a_server_must_be_new_enough() {
        let target = Target::parse("DATABASE_URL", "postgres://app@db:5433/shop").unwrap();
        check_server(&target, &plain_facts()).unwrap();
        let old = Facts {
            version: "14.20".to_owned(),
            version_num: 140_020,
            ..plain_facts()
        };
        let refused = check_server(&target, &old).unwrap_err().to_string();
        assert!(
            refused.contains("db:5433/shop is version 14.20"),
            "{refused}"
        );
        assert!(refused.contains("15 or newer"), "{refused}");
    }

    #[test]
    fn names_are_quoted_when_sql_would_read_them_otherwise() {
        for (name, sql) in [
            ("app_1", "app_1"),
            ("App", "\"App\""),
            ("1app", "\"1app\""),
            ("my app", "\"my app\""),
            ("a\"; drop role b; --", "\"a\"\"; drop role b; --\""),
        ] {
            assert_eq!(quoted(name), sql);
        }
    }
}
