//! Every business table is closed to whoever has no tenant, and to the other program, and can be spread over machines by tenant.

use migrations::database::Role;
use migrations::test_database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, Executor, FromRow, PgConnection};

/// Tables that are the same for every tenant.
const REFERENCE_TABLES: [&str; 2] = ["shop.currencies", "shop.units"];
/// Unique over the tenants themselves: what a person names at log-in, before any tenant is known.
const KEYS_OF_TENANTS: [&str; 1] = ["shop.tenants_handle"];

/// A table of schema `shop` or `agent`, as the catalog knows it.
#[derive(Debug, FromRow)]
struct Table {
    name: String,
    role: String,
    tenant_column: Option<String>,
    has_rls: bool,
    has_policy: bool,
    policy_for_others: bool,
    role_is_bound: bool,
    others_may: bool,
    comment: Option<String>,
    keys_without_tenant: Vec<String>,
    /// `using` and `with check` expressions of its policies.
    conditions: Vec<String>,
}

/// What is wrong with the tables of a database, a line each.
async fn faults(database: &TestDatabase) -> Vec<String> {
    // One session never hears of a tenant: once it has, the setting stays known to it, empty, which is another case.
    let mut untold = PgConnection::connect(&database.admin_url()).await.unwrap();
    let mut told = PgConnection::connect(&database.admin_url()).await.unwrap();
    let mut faults = Vec::new();
    for table in tables(&mut told).await.unwrap() {
        for fault in faults_of(&table) {
            faults.push(format!("{}: {fault}", table.name));
        }
        for condition in &table.conditions {
            let fault = fault_of_condition(&mut untold, &mut told, &table, condition).await;
            if let Some(fault) = fault {
                faults.push(format!("{}: {fault}", table.name));
            }
        }
    }
    faults
}

fn faults_of(table: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    must(
        table.comment.as_deref().is_some_and(|text| text.len() > 10),
        "has no comment",
    );
    must(
        !table.others_may,
        "is open to a role other than its program's",
    );
    if REFERENCE_TABLES.contains(&table.name.as_str()) {
        return faults;
    }
    must(table.tenant_column.is_some(), "has no tenant_id");
    must(table.has_rls, "has no row level security");
    must(table.has_policy, "has no policy for its program's role");
    must(
        !table.policy_for_others,
        "has a policy for a role other than its program's",
    );
    must(
        table.role_is_bound,
        "does not bind its program's role, which owns it or bypasses it",
    );
    let unbound = table.keys_without_tenant.iter();
    for key in unbound.filter(|key| !KEYS_OF_TENANTS.contains(&key.as_str())) {
        faults.push(format!("{key} does not contain the tenant"));
    }
    faults
}

/// Evaluates a policy's condition on a row, as the program's role: without a tenant it must fail, with the row's tenant let it
/// through, with another not. A plain select would tell nothing while the table is empty.
async fn fault_of_condition(
    untold: &mut PgConnection,
    told: &mut PgConnection,
    table: &Table,
    condition: &str,
) -> Option<String> {
    const ONE: &str = "00000000-0000-7000-8000-000000000001";
    const OTHER: &str = "00000000-0000-7000-8000-000000000002";
    let column = table.tenant_column.as_deref()?;
    let short = table.name.split('.').nth(1)?;
    let ask = format!(
        "select ({condition}) from jsonb_populate_record(null::{}, '{{\"{column}\": \"{ONE}\"}}') as {short}",
        table.name
    );
    let mut answers = vec![answer(untold, table, None, &ask).await];
    for tenant in ["", ONE, OTHER] {
        answers.push(answer(told, table, Some(tenant), &ask).await);
    }
    match &answers[..] {
        [Err(_), Err(_), Ok(Some(true)), Ok(Some(false))] => None,
        _ => Some(format!("policy condition {condition} answers {answers:?}")),
    }
}

/// What the condition answers to the program's role, with a tenant set or none.
async fn answer(
    admin: &mut PgConnection,
    table: &Table,
    tenant: Option<&str>,
    ask: &str,
) -> Result<Option<bool>, String> {
    let mut transaction = admin.begin().await.unwrap();
    let set_tenant = tenant
        .map(|tenant| format!("set local app.tenant = '{tenant}';"))
        .unwrap_or_default();
    let prepare = format!("{set_tenant} set local role {}", table.role);
    transaction.execute(AssertSqlSafe(prepare)).await.unwrap();
    let answer = sqlx::query_scalar(AssertSqlSafe(ask.to_owned()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| error.to_string());
    transaction.rollback().await.unwrap();
    answer
}

async fn tables(admin: &mut PgConnection) -> sqlx::Result<Vec<Table>> {
    sqlx::query_as(
        "with tables as (
           select c.oid, n.nspname || '.' || c.relname as name, n.nspname, c.relname, c.relowner, c.relrowsecurity,
                  'countersign_' || n.nspname as role,
                  a.attname as tenant_column, a.attnum as tenant
             from pg_class c
             join pg_namespace n on n.oid = c.relnamespace
             left join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
                   and a.attname = case c.relname when 'tenants' then 'id' else 'tenant_id' end
            where n.nspname in ('shop', 'agent') and c.relkind in ('r', 'p')
         ), keys as (
           select i.indrelid as oid, i.indexrelid::regclass::text as key
             from pg_index i join tables t on t.oid = i.indrelid
            where (i.indisunique or i.indisexclusion)
              and not exists (select from unnest(i.indkey[0:i.indnkeyatts - 1]) as k where k = t.tenant)
           union all
           select f.conrelid, f.conname
             from pg_constraint f
             join tables t on t.oid = f.conrelid
             join tables r on r.oid = f.confrelid
            where f.contype = 'f' and r.name <> all ($1)
              and not exists (select from unnest(f.conkey, f.confkey) as pair (ours, theirs)
                               where pair.ours = t.tenant and pair.theirs = r.tenant)
         )
         select t.name, t.role, t.tenant_column::text, t.relrowsecurity as has_rls,
                exists (select from pg_policy p where p.polrelid = t.oid and p.polpermissive
                           and p.polroles = array[to_regrole(t.role)::oid]) as has_policy,
                exists (select from pg_policy p where p.polrelid = t.oid
                           and p.polroles <> array[to_regrole(t.role)::oid]) as policy_for_others,
                (select not r.rolsuper and not r.rolbypassrls and not pg_has_role(r.oid, t.relowner, 'member')
                   from pg_roles r where r.rolname = t.role) as role_is_bound,
                exists (select from aclexplode((select relacl from pg_class where oid = t.oid)) as acl
                         where acl.grantee not in (t.relowner, to_regrole(t.role)::oid))
                  or exists (select from pg_attribute a, aclexplode(a.attacl) as acl
                              where a.attrelid = t.oid
                                and acl.grantee not in (t.relowner, to_regrole(t.role)::oid)) as others_may,
                obj_description(t.oid, 'pg_class') as comment,
                array(select k.key from keys k where k.oid = t.oid order by 1) as keys_without_tenant,
                array(select c from pg_policy p,
                             unnest(array[pg_get_expr(p.polqual, t.oid), pg_get_expr(p.polwithcheck, t.oid)]) as c
                       where p.polrelid = t.oid and c is not null) as conditions
           from tables t
          order by t.name",
    )
    .bind(&REFERENCE_TABLES[..])
    .fetch_all(admin)
    .await
}

#[tokio::test]
async fn every_business_table_is_closed() {
    let database = TestDatabase::new().await;
    assert_eq!(faults(&database).await, [""; 0]);
}

#[tokio::test]
async fn the_programs_may_not_change_what_was_migrated() {
    let database = TestDatabase::new().await;
    for role in [Role::Shop, Role::Agent] {
        let pool = database.pool(role).await;
        for forbidden in [
            "delete from public._sqlx_migrations",
            "update public._sqlx_migrations set checksum = ''",
            "create table public.mine ()",
            "create table shop.mine ()",
            "create table agent.mine ()",
            "create schema mine",
        ] {
            let refused = pool.execute(forbidden).await.unwrap_err();
            let code = refused.as_database_error().unwrap().code().unwrap();
            assert_eq!(code, "42501", "{role:?} {forbidden}: {refused}");
        }
    }
    let agent = database.pool(Role::Agent).await;
    let refused = agent.execute("select shop.norm('x')").await.unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
}

/// A table as it should be, and one for each way to get it wrong.
#[tokio::test]
async fn an_open_table_is_found_out() {
    let database = TestDatabase::new().await;
    let owner = database.owner_pool().await;
    let mut admin = PgConnection::connect(&database.admin_url()).await.unwrap();
    owner
        .execute(AssertSqlSafe(good("scene_good")))
        .await
        .unwrap();
    assert_eq!(faults(&database).await, [""; 0], "the good one alone");

    let spoiled = [
        ("alter table shop.{t} disable row level security", "no row level security"),
        ("drop policy tenant on shop.{t}", "no policy"),
        ("alter policy tenant on shop.{t} to public", "no policy"),
        ("create policy more on shop.{t} to countersign_agent using (true)", "other than its program's"),
        ("alter policy tenant on shop.{t} using (true)", "answers"),
        (
            "alter policy tenant on shop.{t} using (tenant_id = (select current_setting('app.tenant', true)::uuid))",
            "answers",
        ),
        ("alter policy tenant on shop.{t} with check (true)", "answers"),
        ("grant select on shop.{t} to countersign_agent", "open to a role"),
        ("grant select (id) on shop.{t} to public", "open to a role"),
        ("comment on table shop.{t} is null", "no comment"),
        ("create unique index scene_key on shop.{t} (id)", "scene_key does not contain the tenant"),
        (
            "alter table shop.{t} add constraint scene_pk primary key (id)",
            "scene_pk does not contain the tenant",
        ),
        (
            "alter table shop.{t} add constraint scene_exclusion exclude using gist (id with =)",
            "scene_exclusion does not contain the tenant",
        ),
        (
            "create unique index scene_other on shop.scene_good (tenant_id, other);
             alter table shop.{t} add constraint scene_fk foreign key (id, other) references shop.scene_good (tenant_id, other)",
            "scene_fk does not contain the tenant",
        ),
        ("alter table shop.{t} drop column tenant_id cascade", "has no tenant_id"),
        ("alter table shop.{t} owner to countersign_shop", "owns it"),
    ];
    for (number, (spoil, fault)) in spoiled.iter().enumerate() {
        let name = format!("scene_bad_{number}");
        owner.execute(AssertSqlSafe(good(&name))).await.unwrap();
        let spoil = spoil.replace("{t}", &name);
        admin.execute(AssertSqlSafe(spoil.clone())).await.unwrap();
        let found = faults(&database).await;
        assert!(
            found
                .iter()
                .any(|found| found.starts_with(&format!("shop.{name}: ")) && found.contains(fault)),
            "{spoil} gives {found:?}"
        );
        let remove = format!("drop table shop.{name} cascade");
        admin.execute(AssertSqlSafe(remove)).await.unwrap();
    }
    admin.close().await.unwrap();
}

fn good(name: &str) -> String {
    format!(
        "create table shop.{name} (tenant_id uuid not null, id uuid not null, other uuid);
         create unique index on shop.{name} (tenant_id, id);
         comment on table shop.{name} is 'A table of a scene, as it should be.';
         alter table shop.{name} enable row level security;
         create policy tenant on shop.{name} to countersign_shop
           using (tenant_id = (select current_setting('app.tenant')::uuid))
           with check (tenant_id = (select current_setting('app.tenant')::uuid));
         grant select, insert on shop.{name} to countersign_shop"
    )
}
