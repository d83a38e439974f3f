//! A recorded call, sent again by sqlx: the same statements in the same order with the same parameters, only the names of the one call
//! replaced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use contracts::ids::TenantId;
use e2e::recording::{Names, Statement, Template, agree, ids_of_one_call};
use migrations::clock::{SystemClock, new_id};
use migrations::database::{self, Role};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnectOptions, PgPoolOptions, PgTypeInfo};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Encode, PgConnection, PgPool, Postgres,
    Row as _, Type,
};

use crate::calls::{Client, Kind, token};
use crate::stage::{POOL_SIZE, ROLES, Stage};

/// Recordings made at most until two agree; another may have a look of a background task in it.
const RECORDINGS_MAX: usize = 20;
/// How long a replay waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// The statement that gives a bill its number.
const GIVES_NUMBER: &str = "insert into shop.counters";

/// One kind of call as it was recorded.
pub(crate) struct Recorded {
    kind: Kind,
    statements: Vec<Statement>,
    names: Names,
    /// Ids at the end of `names.ids` that belong to the worker, not to the call.
    of_worker: usize,
    /// What the call wrote.
    rows: Rows,
}

/// Rows by table.
type Rows = Vec<(String, i64)>;

impl Recorded {
    /// Records a kind of call by having it made until two recordings agree.
    pub(crate) async fn make(
        stage: &Stage,
        client: &Client,
        kind: Kind,
    ) -> anyhow::Result<Recorded> {
        let mut before: Vec<(Vec<Statement>, String, Rows)> = Vec::new();
        for _ in 0..RECORDINGS_MAX {
            let name = if kind.is_chat() {
                kind.session(0)
            } else {
                token()
            };
            let rows = stage.rows().await?;
            let said = stage.record(client.send(kind, &name)).await?;
            let rows = added(&rows, stage.rows().await?);
            if let Some((first, name, rows)) = before
                .iter()
                .find(|(one, _, r)| agree(one, &said) && *r == rows)
            {
                return Recorded::of_two(stage, kind, first, &said, name, rows.clone()).await;
            }
            before.push((said, name, rows));
        }
        bail!("{kind:?}: no two of {RECORDINGS_MAX} recordings agree")
    }

    async fn of_two(
        stage: &Stage,
        kind: Kind,
        one: &[Statement],
        other: &[Statement],
        name: &str,
        rows: Rows,
    ) -> anyhow::Result<Recorded> {
        let mut names = Names {
            ids: ids_of_one_call(one, other),
            texts: vec![name.to_owned()],
            number: number(one)?,
        };
        let of_worker = usize::from(kind.is_chat());
        if kind.is_chat() {
            names.ids.push(stage.session(name).await?);
        }
        Ok(Recorded {
            kind,
            statements: one.to_vec(),
            names,
            of_worker,
            rows,
        })
    }

    /// The whole of it.
    pub(crate) async fn script(&self, stage: &Stage) -> anyhow::Result<Script> {
        Script::new(stage, self, &self.statements).await
    }

    /// What the business itself says: without the tenant's preamble, idempotency, audit and the agent's journal. A call that writes is
    /// still one transaction, or it would pay for a commit per statement.
    pub(crate) async fn bare_script(&self, stage: &Stage) -> anyhow::Result<Script> {
        let business = |s: &&Statement| {
            let machinery = ["shop.idempotency", "shop.audit_log"];
            s.login == Role::Shop.name()
                && !s.sql.starts_with("SAVEPOINT")
                && !s.sql.starts_with("RELEASE")
                && !machinery.iter().any(|table| s.sql.contains(table))
        };
        let kept: Vec<Statement> = self.statements.iter().filter(business).cloned().collect();
        let reads = |s: &Statement| !s.prepared || s.sql.trim_start().starts_with("select");
        let only_reads = kept.iter().all(reads);
        let bare: Vec<Statement> = kept
            .into_iter()
            .filter(|s| s.prepared || !only_reads)
            .map(|s| Statement {
                sql: if s.opens() {
                    "begin".to_owned()
                } else {
                    s.sql.clone()
                },
                ..s
            })
            .collect();
        Script::new(stage, self, &bare).await
    }

    /// Plays it once with the log on, and compares what arrived with what was recorded: statements, order, and rows written.
    pub(crate) async fn prove(&self, stage: &Stage) -> anyhow::Result<()> {
        let script = self.script(stage).await?;
        let pools = Pools::open(stage, false)?;
        let mut mine = self.worker_names(stage, 0).await?;
        let rows = stage.rows().await?;
        let said = stage.record(script.play(&pools, &mut mine)).await?;
        pools.close().await;
        ensure!(
            agree(&self.statements, &said),
            "{:?}: the replay says something else: {said:#?}",
            self.kind
        );
        let written = added(&rows, stage.rows().await?);
        ensure!(
            written == self.rows,
            "{:?}: the replay writes {written:?}, the call {:?}",
            self.kind,
            self.rows
        );
        Ok(())
    }

    /// The names a replaying worker begins with.
    pub(crate) async fn worker_names(&self, stage: &Stage, worker: usize) -> anyhow::Result<Names> {
        let mut names = self.names.clone();
        if self.kind.is_chat() {
            let session = self.kind.session(crate::calls::SESSIONS + worker);
            if let Some(id) = names.ids.last_mut() {
                *id = stage.session(&session).await?;
            }
            names.texts = vec![session];
        }
        Ok(names)
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Statements of one call, each a round trip.
    pub(crate) const fn statements(&self) -> usize {
        self.statements.len()
    }
}

/// Rows there are more than before, by table, without the tables that did not grow.
fn added(before: &[(String, i64)], after: Rows) -> Rows {
    let old: HashMap<&str, i64> = before.iter().map(|(t, n)| (t.as_str(), *n)).collect();
    after
        .into_iter()
        .map(|(table, now)| {
            let more = now - old.get(table.as_str()).copied().unwrap_or_default();
            (table, more)
        })
        .filter(|(_, more)| *more != 0)
        .collect()
}

/// The number a bill got: the only integer of the statement after the one that gave it that is a number of that series.
fn number(statements: &[Statement]) -> anyhow::Result<Option<i64>> {
    let Some(given) = statements
        .iter()
        .position(|s| s.sql.starts_with(GIVES_NUMBER))
    else {
        return Ok(None);
    };
    let next = statements
        .get(given + 1)
        .context("a number is given to a bill")?;
    let numbers = next.parameters.iter().flatten();
    let number = numbers.filter_map(|p| p.parse::<i64>().ok()).max();
    Ok(Some(number.context("the bill's number")?))
}

/// Statements ready to be sent.
pub(crate) struct Script {
    steps: Vec<Step>,
    of_worker: usize,
    tokens: bool,
}

struct Step {
    role: Role,
    /// Which of the recorded connections.
    backend: u32,
    sql: Arc<str>,
    prepared: bool,
    parameters: Vec<(Oid, Option<Template>)>,
    /// The connection goes back to the pool afterwards.
    closes: bool,
    gives_number: bool,
}

impl Script {
    async fn new(
        stage: &Stage,
        recorded: &Recorded,
        statements: &[Statement],
    ) -> anyhow::Result<Script> {
        let mut steps = Vec::with_capacity(statements.len());
        let mut open: HashMap<u32, bool> = HashMap::new();
        let mut connection = stage.owner.acquire().await?;
        for said in statements {
            let role = ROLES.into_iter().find(|role| role.name() == said.login);
            let open = open.entry(said.backend).or_default();
            let closes = said.closes(*open);
            *open = !closes;
            steps.push(Step {
                role: role.with_context(|| format!("a statement of {}", said.login))?,
                backend: said.backend,
                sql: said.sql.as_str().into(),
                prepared: said.prepared,
                parameters: templates(&mut connection, said, &recorded.names).await?,
                closes,
                gives_number: said.sql.starts_with(GIVES_NUMBER),
            });
        }
        Ok(Script {
            steps,
            of_worker: recorded.of_worker,
            tokens: !recorded.kind.is_chat(),
        })
    }

    /// Whether it says nothing at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Says everything once, for a call of its own.
    pub(crate) async fn play(&self, pools: &Pools, names: &mut Names) -> anyhow::Result<()> {
        let of_call = names.ids.len() - self.of_worker;
        for id in names.ids.iter_mut().take(of_call) {
            *id = new_id(&SystemClock);
        }
        if self.tokens {
            names.texts = vec![token()];
        }
        let mut held: HashMap<u32, PoolConnection<Postgres>> = HashMap::new();
        for step in &self.steps {
            let mut connection = match held.remove(&step.backend) {
                Some(connection) => connection,
                None => pools.of(step.role).acquire().await?,
            };
            match step.say(&mut connection, names).await {
                Ok(number) => names.number = number.or(names.number),
                Err(error) => {
                    // It stands in the middle of a transaction that sqlx knows nothing of.
                    connection.close_on_drop();
                    held.values_mut().for_each(PoolConnection::close_on_drop);
                    return Err(error.context(format!("replaying {}", step.sql)));
                }
            }
            if !step.closes {
                held.insert(step.backend, connection);
            }
        }
        Ok(())
    }
}

impl Step {
    async fn say(
        &self,
        connection: &mut PgConnection,
        names: &Names,
    ) -> anyhow::Result<Option<i64>> {
        let sql = AssertSqlSafe(Arc::clone(&self.sql));
        if !self.prepared {
            sqlx::raw_sql(sql).execute(connection).await?;
            return Ok(None);
        }
        let mut arguments = PgArguments::default();
        for (oid, template) in &self.parameters {
            let bytes = match template {
                Some(template) => Some(template.fill(names).context("a name is missing")?),
                None => None,
            };
            let added = arguments.add(Binary { oid: *oid, bytes });
            added.map_err(|error| anyhow::anyhow!("a parameter: {error}"))?;
        }
        let rows = sqlx::query_with(sql, arguments)
            .fetch_all(connection)
            .await?;
        match rows.first() {
            Some(row) if self.gives_number => Ok(Some(row.try_get(0)?)),
            _ => Ok(None),
        }
    }
}

/// A parameter that is in the server's binary form already.
struct Binary {
    oid: Oid,
    bytes: Option<Vec<u8>>,
}

impl Type<Postgres> for Binary {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("bytea")
    }
}

impl Encode<'_, Postgres> for Binary {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(self.oid))
    }
}

/// Asks Postgres itself for the types of a statement's parameters and for their binary form.
async fn templates(
    connection: &mut PgConnection,
    said: &Statement,
    names: &Names,
) -> anyhow::Result<Vec<(Oid, Option<Template>)>> {
    if !said.prepared {
        return Ok(Vec::new());
    }
    let prepare = format!("prepare recorded as {}", said.sql);
    sqlx::raw_sql(AssertSqlSafe(prepare))
        .execute(&mut *connection)
        .await
        .with_context(|| format!("preparing {}", said.sql))?;
    let types: Vec<(Oid, String, String)> = sqlx::query_as(
        "select t.oid, format_type(t.oid, null), t.typsend::text
         from pg_prepared_statements p, unnest(p.parameter_types::oid[]) with ordinality as u (oid, n)
         join pg_type t on t.oid = u.oid where p.name = 'recorded' order by u.n",
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::raw_sql("deallocate recorded")
        .execute(&mut *connection)
        .await?;
    ensure!(
        types.len() == said.parameters.len(),
        "{} parameters were recorded of {}",
        said.parameters.len(),
        said.sql
    );
    let mut all = Vec::with_capacity(types.len());
    for ((oid, name, send), text) in types.into_iter().zip(&said.parameters) {
        let template = match text {
            None => None,
            Some(text) => {
                let binary = format!("select {send}(cast($1::text as {name}))");
                let bytes: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(binary))
                    .bind(text)
                    .fetch_one(&mut *connection)
                    .await
                    .with_context(|| format!("{text} as {name}"))?;
                Some(Template::new(bytes, names))
            }
        };
        all.push((oid, template));
    }
    Ok(all)
}

/// Connections as the programs have them: as many, of the same roles.
pub(crate) struct Pools {
    shop: PgPool,
    agent: PgPool,
}

impl Pools {
    /// `tenant_set`: the tenant is set once per connection, for statements that come without the preamble.
    pub(crate) fn open(stage: &Stage, tenant_set: bool) -> anyhow::Result<Pools> {
        let pool = |role: Role| {
            let login: PgConnectOptions = stage.url(role).parse()?;
            let options = PgPoolOptions::new()
                .max_connections(POOL_SIZE)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        if tenant_set {
                            let set = format!("set app.tenant = '{}'", TenantId::DEMO);
                            sqlx::raw_sql(AssertSqlSafe(set))
                                .execute(connection)
                                .await?;
                        }
                        Ok(())
                    })
                });
            // Planned as the programs' own statements are.
            let login = database::connect_options(&login, role);
            anyhow::Ok(options.connect_lazy_with(login.disable_statement_logging()))
        };
        Ok(Pools {
            shop: pool(Role::Shop)?,
            agent: pool(Role::Agent)?,
        })
    }

    fn of(&self, role: Role) -> &PgPool {
        match role {
            Role::Shop => &self.shop,
            Role::Agent => &self.agent,
        }
    }

    pub(crate) async fn close(&self) {
        self.shop.close().await;
        self.agent.close().await;
    }
}
