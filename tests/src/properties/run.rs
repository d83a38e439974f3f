//! Runs drawn sequences over two servers, and judges what was seen.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contracts::ids::TenantId;
use futures::StreamExt as _;
use futures::future::{join_all, try_join_all};
use mcp_server::invariants;
use migrations::clock::{self, new_id};
use migrations::database::Role;
use migrations::keys;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chaos::{self, Toll};
use super::client::{Answered, Client, Doors, Request};
use super::history::{Seen, explain};
use super::script::{Answer, Draw, Fault, Script, Step, summary};
use crate::model::{
    Ask, Call, Op, OpId, Reply, Shop, billing, booking, inventory, payment, people,
};
use crate::program::{Executables, QUIET, Stage};
use crate::world::http_client;

/// Both servers check tokens with it.
const TOKEN_KEY: &str = "the key of the agent's tokens in the properties";
/// Connections of each server.
const POOL_SIZE: &str = "20";
/// Connections that judge.
const JUDGES: u32 = 8;
/// How often a question that takes another's place is answered in turn.
const ANEW_MAX: usize = 3;
/// How often a shorter sequence is tried before it counts as right.
const TRIES: usize = 3;
/// Most runs spent on making a failed sequence shorter.
const SHORTENING_RUNS_MAX: usize = 90;

/// Two servers over one database.
pub struct Counter {
    stage: Arc<Stage>,
    doors: Doors,
    /// As the owner of the tables: makes shops, lets questions lapse, sees all.
    owner: PgPool,
    /// As the servers' own role, which sees one shop at a time.
    judge: PgPool,
}

/// What many sequences came to.
pub struct Report {
    /// Sequences run.
    pub sequences: u64,
    /// Operations of all of them.
    pub operations: u64,
    /// How long it took.
    pub took: Duration,
    /// What went wrong on purpose.
    pub toll: Arc<Toll>,
}

impl Counter {
    /// Starts both servers.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn open(executables: Executables) -> (Counter, [crate::program::Program; 2]) {
        let stage = Stage::open(executables)
            .await
            .with("AGENT_TOKEN_KEY", TOKEN_KEY)
            .with("DATABASE_POOL_SIZE", POOL_SIZE)
            .with(QUIET, "yes");
        let servers = [stage.server().await, stage.server().await];
        let doors = Doors {
            http: http_client(),
            urls: [servers[0].url.clone(), servers[1].url.clone()],
            key: keys::from_text(TOKEN_KEY).expect("a key"),
            clock: clock::from_setting(None),
        };
        let pool = |url: &str| {
            let options = PgPoolOptions::new().max_connections(JUDGES);
            options.connect_lazy(url).expect("an address")
        };
        let counter = Counter {
            owner: stage.db.clone(),
            judge: pool(&stage.url(Role::Shop)),
            stage: Arc::new(stage),
            doors,
        };
        (counter, servers)
    }

    /// Runs the sequences of these numbers, so many at a time, while everything goes wrong.
    ///
    /// # Errors
    /// The first failure, with the number that draws it and the shortest sequence found that fails too.
    pub async fn run(
        &self,
        servers: [crate::program::Program; 2],
        seeds: impl Iterator<Item = u64>,
        at_once: usize,
    ) -> anyhow::Result<Report> {
        let begun = Instant::now();
        let (toll, stop) = (Arc::new(Toll::default()), CancellationToken::new());
        let chaos = self.chaos(servers, &toll, &stop);
        let today = self.doors.clock.now().date_naive();
        let mut running = futures::stream::iter(seeds)
            .map(|seed| async move {
                let script = Script::drawn(seed, today);
                let ran = self.sequence(&script).await;
                (script, ran)
            })
            .buffer_unordered(at_once);
        let (mut sequences, mut operations) = (0, 0);
        let mut failed = None;
        while let Some((script, ran)) = running.next().await {
            ensure!(
                chaos.iter().all(|task| !task.is_finished()),
                "what breaks things has broken itself"
            );
            match ran {
                Ok(ops) => {
                    sequences += 1;
                    operations += ops as u64;
                }
                Err(error) => {
                    failed = Some((script, error));
                    break;
                }
            }
        }
        drop(running);
        let outcome = match failed {
            Some((script, error)) => Err(self.shortened(script, error).await),
            None => self.all_is_well().await,
        };
        stop.cancel();
        join_all(chaos).await;
        outcome?;
        Ok(Report {
            sequences,
            operations,
            took: begun.elapsed(),
            toll,
        })
    }

    fn chaos(
        &self,
        servers: [crate::program::Program; 2],
        toll: &Arc<Toll>,
        stop: &CancellationToken,
    ) -> [tokio::task::JoinHandle<()>; 2] {
        let admin = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy(&self.stage.admin_url())
            .expect("an address");
        let cutting = chaos::cut(admin, 1, Arc::clone(toll), stop.clone());
        let stage = Arc::clone(&self.stage);
        let killing = chaos::kill(stage, servers, 2, Arc::clone(toll), stop.clone());
        [tokio::spawn(cutting), tokio::spawn(killing)]
    }

    /// Leaves out what is not needed to fail.
    async fn shortened(&self, script: Script, error: anyhow::Error) -> anyhow::Error {
        let (mut shortest, mut error, mut runs) = (script, error, 0);
        let mut nth = 0;
        while runs < SHORTENING_RUNS_MAX {
            let Some(shorter) = shortest.without(nth) else {
                break;
            };
            let mut still = None;
            for _ in 0..TRIES {
                runs += 1;
                still = self.sequence(&shorter).await.err();
                if still.is_some() {
                    break;
                }
            }
            match still {
                Some(fails) => {
                    shortest = shorter;
                    error = fails;
                }
                None => nth += 1,
            }
        }
        error.context(format!(
            "COUNTERSIGN_SEED={} draws a sequence that fails; {runs} runs made it this short: {:#?}",
            shortest.seed, shortest
        ))
    }

    /// Runs one sequence in a shop of its own. Returns how many operations it had.
    ///
    /// # Errors
    /// Whatever is not as it has to be.
    pub async fn sequence(&self, script: &Script) -> anyhow::Result<usize> {
        let tenant = self.shop(script).await.context("making the shop")?;
        let today = self.doors.clock.now().date_naive();
        let moments = AtomicU64::new(0);
        let person = |name: String, seed: u64| Person {
            counter: self,
            client: Client {
                doors: &self.doors,
                tenant,
                subject: name,
                draw: Draw::new(script.seed ^ seed),
            },
            moments: &moments,
            seen: Vec::new(),
            versions: HashMap::new(),
            keys: 0,
        };
        let mut first = person("amina".to_owned(), 0);
        first.do_all(&script.opening).await?;
        let others = script.clients.iter().zip(1_u64..).map(|(steps, n)| {
            let mut other = person(format!("client-{n}"), n << 32);
            async move {
                other.do_all(steps).await?;
                anyhow::Ok(other.seen)
            }
        });
        let others = try_join_all(others).await?;
        let mut last = person("zoe".to_owned(), 99 << 32);
        last.look(today).await?;
        let mut history = History::default();
        history.take(first.seen);
        for seen in others {
            history.take(seen);
        }
        history.take(last.seen);
        let told = || format!("{}\n{}", script.seed, history.told());
        self.judge(tenant, script, &history.0)
            .await
            .with_context(told)?;
        Ok(history.0.len())
    }

    /// Everything that has to hold of a shop when a sequence is over.
    async fn judge(
        &self,
        tenant: TenantId,
        script: &Script,
        history: &[Seen],
    ) -> anyhow::Result<()> {
        explain(history, Shop::new(script.settings.clone()))
            .map_err(|unexplained| anyhow::anyhow!(unexplained.why))?;
        let mut tx = migrations::database::begin(&self.judge, tenant.0).await?;
        for rule in invariants::all() {
            let broken: i64 = sqlx::query_scalar(rule.broken)
                .fetch_one(&mut *tx)
                .await
                .with_context(|| rule.says)?;
            ensure!(
                broken == 0,
                "rule {}: {}: {broken} rows",
                rule.number,
                rule.says
            );
        }
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select tool, count(*) from shop.audit_log where tenant_id = $1 group by tool",
        )
        .bind(tenant.0)
        .fetch_all(&mut *tx)
        .await?;
        let audited: BTreeMap<String, i64> = rows.into_iter().collect();
        let effects = effects(history);
        ensure!(
            audited == effects,
            "acknowledged effects {effects:?} and audited effects {audited:?}"
        );
        Ok(())
    }

    /// Every rule over all shops at once.
    async fn all_is_well(&self) -> anyhow::Result<()> {
        for rule in invariants::all() {
            let broken: i64 = sqlx::query_scalar(rule.broken)
                .fetch_one(&self.owner)
                .await?;
            ensure!(
                broken == 0,
                "rule {}: {}: {broken} rows",
                rule.number,
                rule.says
            );
        }
        Ok(())
    }

    async fn shop(&self, script: &Script) -> anyhow::Result<TenantId> {
        let tenant = TenantId(new_id(&*self.doors.clock));
        let now = self.doors.clock.now();
        sqlx::query(
            "insert into shop.tenants (id, name, currency, time_zone, locale, allow_negative_stock, created_at)
             values ($1, $2, $3, 'Africa/Kigali', 'en', $4, $5)",
        )
        .bind(tenant.0)
        .bind(format!("Shop {}", script.seed))
        .bind(script.settings.currency.code())
        .bind(script.settings.allow_negative)
        .bind(now)
        .execute(&self.owner)
        .await?;
        for (tool, ask) in &script.settings.policies {
            let (ask, above) = match ask {
                Ask::Always => ("always", None),
                Ask::Above(limit_minor) => ("above", Some(*limit_minor)),
                Ask::Never => ("never", None),
            };
            sqlx::query(
                "insert into shop.policies (tenant_id, tool, ask, above_minor) values ($1, $2, $3, $4)",
            )
            .bind(tenant.0)
            .bind(*tool)
            .bind(ask)
            .bind(above)
            .execute(&self.owner)
            .await?;
        }
        Ok(tenant)
    }

    /// As if the time for an answer had passed.
    async fn lapse(&self, tenant: TenantId, question: Uuid) -> anyhow::Result<()> {
        sqlx::query(
            "update shop.confirmations
             set expires_at = created_at, question = jsonb_set(question, '{expires_at}', to_jsonb(created_at))
             where tenant_id = $1 and id = $2 and status = 'open'",
        )
        .bind(tenant.0)
        .bind(question)
        .execute(&self.owner)
        .await?;
        Ok(())
    }
}

/// One person with a client, and what they saw.
struct Person<'a> {
    counter: &'a Counter,
    client: Client<'a>,
    moments: &'a AtomicU64,
    seen: Vec<Seen>,
    /// Versions of items as last seen: what a count is made at.
    versions: HashMap<String, i64>,
    keys: u32,
}

impl Person<'_> {
    async fn do_all(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            self.take(step).await?;
        }
        Ok(())
    }

    async fn take(&mut self, step: &Step) -> anyhow::Result<()> {
        let call = self.counted(&step.call);
        let mut request = Request {
            tool: call.tool(),
            arguments: call.arguments(),
            key: None,
            answer: None,
        };
        if !call.is_read() {
            self.keys += 1;
            request.key = Some(format!("key-{}", self.keys));
        }
        let mut answered = self.do_one(Op::Call(call), &request, step.fault).await?;
        let mut asked_by = self.seen.len() - 1;
        for (answer, fault) in &step.answers {
            let Some(asked) = answered.token.clone() else {
                break;
            };
            if *answer == Answer::Late {
                self.let_lapse(asked_by, &answered).await?;
                continue;
            }
            let yes = *answer == Answer::Yes;
            let op = Op::Answer {
                question: asked_by,
                yes,
            };
            request.answer = Some((asked, yes));
            let next = self.do_one(op, &request, *fault).await?;
            if next.token.is_some() {
                (answered, asked_by) = (next, self.seen.len() - 1);
                (answered, asked_by) = self.agree(request.clone(), answered, asked_by).await?;
            }
        }
        Ok(())
    }

    /// Says yes to the question that took another's place, and to the one after it.
    async fn agree(
        &mut self,
        mut request: Request,
        mut answered: Answered,
        mut asked_by: OpId,
    ) -> anyhow::Result<(Answered, OpId)> {
        for _ in 0..ANEW_MAX {
            let Some(token) = answered.token.clone() else {
                break;
            };
            request.answer = Some((token, true));
            let op = Op::Answer {
                question: asked_by,
                yes: true,
            };
            answered = self.do_one(op, &request, Fault::None).await?;
            asked_by = self.seen.len() - 1;
        }
        Ok((answered, asked_by))
    }

    async fn let_lapse(&mut self, asked_by: OpId, answered: &Answered) -> anyhow::Result<()> {
        let Reply::Asked(question) = &answered.reply else {
            return Ok(());
        };
        let id: Uuid = serde_json::from_value(question["id"].clone())?;
        let begun = self.moment();
        self.counter.lapse(self.client.tenant, id).await?;
        let ended = self.moment();
        self.seen.push(Seen {
            op: Op::Lapse { question: asked_by },
            begun,
            ended,
            reply: Reply::Nothing,
        });
        Ok(())
    }

    async fn do_one(
        &mut self,
        op: Op,
        request: &Request,
        fault: Fault,
    ) -> anyhow::Result<Answered> {
        let begun = self.moment();
        let answered = self.client.call(request, fault).await?;
        let ended = self.moment();
        if let Reply::Done(done) = &answered.reply
            && let (Some(name), Some(version)) = (
                done["item"]["name"].as_str(),
                done["item"]["version"].as_i64(),
            )
        {
            self.versions.insert(name.to_owned(), version);
        }
        self.seen.push(Seen {
            op,
            begun,
            ended,
            reply: answered.reply.clone(),
        });
        Ok(answered)
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// A count is made at the version that was seen last.
    fn counted(&self, call: &Call) -> Call {
        let mut call = call.clone();
        if let Call::Inventory(inventory::Call::Count {
            item,
            expected_version,
            ..
        }) = &mut call
            && let Some(version) = self.versions.get(item)
        {
            *expected_version = *version;
        }
        call
    }

    /// Looks at everything when all is over: what was acknowledged has to be there, and nothing else.
    async fn look(&mut self, today: chrono::NaiveDate) -> anyhow::Result<()> {
        let calls = [
            Call::Inventory(inventory::Call::List),
            Call::Billing(billing::Call::List { status: None }),
            Call::Billing(summary(today)),
            Call::Payment(payment::Call::Balance { customer: None }),
            Call::Payment(payment::Call::History { customer: None }),
            Call::Booking(booking::Call::View),
            Call::People(people::Call::List { status: None }),
        ];
        for call in calls {
            let step = Step {
                call,
                fault: Fault::None,
                answers: Vec::new(),
            };
            self.take(&step).await?;
        }
        Ok(())
    }
}

/// What everybody saw, with one name for each operation.
#[derive(Default)]
struct History(Vec<Seen>);

impl History {
    fn take(&mut self, seen: Vec<Seen>) {
        let before = self.0.len();
        self.0.extend(seen.into_iter().map(|mut one| {
            match &mut one.op {
                Op::Answer { question, .. } | Op::Lapse { question } => *question += before,
                Op::Call(_) => {}
            }
            one
        }));
    }

    fn told(&self) -> String {
        let mut by_time: Vec<(usize, &Seen)> = self.0.iter().enumerate().collect();
        by_time.sort_by_key(|(_, seen)| seen.begun);
        by_time
            .iter()
            .map(|(id, seen)| {
                format!(
                    "{id:>3} [{:>3} to {:>3}] {:?}\n        {:?}\n",
                    seen.begun, seen.ended, seen.op, seen.reply
                )
            })
            .collect()
    }
}

/// Acknowledged effects by tool. A yes that was repeated has the answer of the first one and is no effect of its own.
fn effects(history: &[Seen]) -> BTreeMap<String, i64> {
    let mut effects = BTreeMap::new();
    let mut settled = std::collections::HashSet::new();
    for seen in history {
        if !matches!(seen.reply, Reply::Done(_)) {
            continue;
        }
        let tool = match &seen.op {
            Op::Call(call) if call.is_read() => continue,
            Op::Call(call) => call.tool(),
            Op::Answer { question, .. } if settled.insert(*question) => {
                match asking(history, *question) {
                    Some(call) => call.tool(),
                    None => continue,
                }
            }
            Op::Answer { .. } | Op::Lapse { .. } => continue,
        };
        *effects.entry(tool.to_owned()).or_insert(0) += 1;
    }
    effects
}

/// The call behind a question, through the questions that took another's place.
fn asking(history: &[Seen], mut id: OpId) -> Option<&Call> {
    loop {
        match &history.get(id)?.op {
            Op::Call(call) => return Some(call),
            Op::Answer { question, .. } | Op::Lapse { question } => id = *question,
        }
    }
}
