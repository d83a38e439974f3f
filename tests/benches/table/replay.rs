//! A recorded call, sent again by sqlx: the same statements in the same order with the same parameters, only the names of the one call
//! replaced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use contracts::ids::TenantId;
use e2e::recording::{Names, Statement, Template, agree, ids_of_one_call, instants_of_one_call};
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
use uuid::Uuid;

use crate::calls::{Client, Kind, Slot};
use crate::stage::{POOL_SIZE, ROLES, Stage};

/// Recordings made at most until two agree; another may have a look of a background task in it.
const RECORDINGS_MAX: usize = 20;
/// How long a replay waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// The statement that gives a bill, a booking or a payment its number, and its column that says it.
const GIVES_NUMBER: &str = "insert into shop.counters";
const NUMBER: &str = "last";

/// One kind of call as it was recorded.
pub(crate) struct Recorded {
    kind: Kind,
    statements: Vec<Statement>,
    names: Names,
    /// Ids at the end of `names.ids` that are there before the call: a worker's session, a slot's seat.
    known: usize,
    /// How other calls get other times.
    times: Option<Times>,
    /// What the call wrote.
    rows: Rows,
}

/// Rows by table.
type Rows = Vec<(String, i64)>;

/// One recording.
struct Recording {
    name: String,
    said: Vec<Statement>,
    rows: Rows,
    /// The number that was given.
    number: Option<i64>,
}

impl Recording {
    async fn make(stage: &Stage, client: &Client, kind: Kind) -> anyhow::Result<Recording> {
        let name = kind.name(0);
        let (rows, numbers) = (stage.rows().await?, stage.numbers().await?);
        let said = stage.record(client.send(kind, &name)).await?;
        let number = given(&numbers, &stage.numbers().await?)?;
        ensure!(
            number.is_some() == said.iter().any(gives_number),
            "{kind:?}: {number:?} is the number given"
        );
        Ok(Recording {
            rows: added(&rows, stage.rows().await?),
            name,
            said,
            number,
        })
    }
}

/// The slot of a recorded booking, and what depends on it.
#[derive(Debug, Clone)]
struct Times {
    seats: Vec<Uuid>,
    slot: Slot,
    instants: Vec<i64>,
}

impl Times {
    async fn of_two(stage: &Stage, one: &Recording, other: &Recording) -> anyhow::Result<Times> {
        let (slot, next) = (Slot::of(&one.name)?, Slot::of(&other.name)?);
        ensure!(
            slot.seat() == next.seat(),
            "recordings are of {slot:?} and {next:?}, on two seats"
        );
        let apart = next.starts_at() - slot.starts_at();
        let instants = instants_of_one_call(&one.said, &other.said, apart);
        ensure!(
            !instants.is_empty(),
            "no time of a booking was found in its statements"
        );
        let seats = stage.seats().await?;
        Ok(Times {
            seats,
            slot,
            instants,
        })
    }

    fn seat(&self, slot: Slot) -> anyhow::Result<Uuid> {
        let seat = self.seats.get(slot.seat());
        Ok(*seat.context("every seat is booked: measure for a shorter time")?)
    }

    /// Gives names the time of another slot: as much later, and its seat, which is their last id.
    fn set(&self, slot: Slot, names: &mut Names) -> anyhow::Result<()> {
        let later = slot.starts_at() - self.slot.starts_at();
        let later_us = later.num_microseconds().context("a time too far away")?;
        names.instants = self.instants.iter().map(|at| at + later_us).collect();
        if let Some(id) = names.ids.last_mut() {
            *id = self.seat(slot)?;
        }
        Ok(())
    }
}

impl Recorded {
    /// Records a kind of call by having it made until two recordings agree.
    pub(crate) async fn make(
        stage: &Stage,
        client: &Client,
        kind: Kind,
    ) -> anyhow::Result<Recorded> {
        let mut before: Vec<Recording> = Vec::new();
        for _ in 0..RECORDINGS_MAX {
            let now = Recording::make(stage, client, kind).await?;
            let same = |one: &&Recording| agree(&one.said, &now.said) && one.rows == now.rows;
            if let Some(first) = before.iter().find(same) {
                return Recorded::of_two(stage, kind, first, &now).await;
            }
            before.push(now);
        }
        bail!("{kind:?}: no two of {RECORDINGS_MAX} recordings agree")
    }

    async fn of_two(
        stage: &Stage,
        kind: Kind,
        one: &Recording,
        other: &Recording,
    ) -> anyhow::Result<Recorded> {
        let times = match kind {
            Kind::Book => Some(Times::of_two(stage, one, other).await?),
            _ => None,
        };
        let known = match &times {
            Some(times) => Some(times.seat(times.slot)?),
            None if kind.is_chat() => Some(stage.session(&one.name).await?),
            None => None,
        };
        let mut ids = ids_of_one_call(&one.said, &other.said);
        ids.extend(known);
        let instants = times.as_ref().map(|times| times.instants.clone());
        Ok(Recorded {
            kind,
            statements: one.said.clone(),
            names: Names {
                ids,
                texts: vec![one.name.clone()],
                instants: instants.unwrap_or_default(),
                number: one.number,
            },
            known: usize::from(known.is_some()),
            times,
            rows: one.rows.clone(),
        })
    }

    /// The whole of it.
    pub(crate) async fn script(&self, stage: &Stage) -> anyhow::Result<Script> {
        Script::new(stage, self, &self.statements).await
    }

    /// What the business itself says: without the tenant's preamble, idempotency, audit, what others are told (a statement of its own, or
    /// one with the audit row) and the agent's journal. A call that writes is still one transaction, or it would pay for a commit per
    /// statement.
    pub(crate) async fn bare_script(&self, stage: &Stage) -> anyhow::Result<Script> {
        let business = |s: &&Statement| {
            let machinery = ["shop.idempotency", "shop.audit_log", "shop.outbox"];
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

/// The number that a call got: the last one of the only series that went on.
fn given(before: &[(String, i64)], after: &[(String, i64)]) -> anyhow::Result<Option<i64>> {
    let mut went_on = after.iter().filter(|series| !before.contains(series));
    let number = went_on.next().map(|(_, last)| *last);
    ensure!(went_on.next().is_none(), "one call gives several numbers");
    Ok(number)
}

fn gives_number(statement: &Statement) -> bool {
    statement.sql.starts_with(GIVES_NUMBER)
}

/// Statements ready to be sent.
pub(crate) struct Script {
    steps: Vec<Step>,
    kind: Kind,
    known: usize,
    times: Option<Times>,
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
                gives_number: gives_number(said),
            });
        }
        Ok(Script {
            steps,
            kind: recorded.kind,
            known: recorded.known,
            times: recorded.times.clone(),
        })
    }

    /// Whether it says nothing at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Says everything once, for a call of its own.
    pub(crate) async fn play(&self, pools: &Pools, names: &mut Names) -> anyhow::Result<()> {
        self.rename(names)?;
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

    /// Names for another call of the same worker.
    fn rename(&self, names: &mut Names) -> anyhow::Result<()> {
        let of_call = names.ids.len() - self.known;
        for id in names.ids.iter_mut().take(of_call) {
            *id = new_id(&SystemClock);
        }
        if self.kind.is_chat() {
            return Ok(());
        }
        let name = self.kind.name(0);
        if let Some(times) = &self.times {
            times.set(Slot::of(&name)?, names)?;
        }
        names.texts = vec![name];
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
            Some(row) if self.gives_number => Ok(Some(row.try_get(NUMBER)?)),
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
