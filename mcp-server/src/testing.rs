//! A shop of its own for each test, the tools called as the call path calls them, and the invariants that hold after every effect.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use contracts::failure::ToolFailure;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::token::PrincipalRole;
use contracts::tool::Tool;
use migrations::clock::Clock;
use migrations::database::Role;
use migrations::test_database::TestDatabase;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::app::App;
use crate::calendar;
use crate::call::{self, Answer, ToolRequest};
use crate::caller::{Caller, Door};
use crate::error::CallError;
use crate::handler::{
    Audit, Call, CommitTool, Effected, Prepared, ReadTool, Shop, UnaskedClients, WriteTool,
};
use crate::invariants::{self, Invariant};
use crate::phones::Country;
use crate::providers::Configured;

/// Enough for sixteen callers at once.
const CONNECTIONS: u32 = 16;

/// A clock that stands still until it is moved.
pub(crate) struct StandingClock(Mutex<DateTime<Utc>>);

impl Clock for StandingClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl StandingClock {
    pub(crate) fn pass(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

/// One shop in a database of its own.
pub(crate) struct World {
    pub(crate) shop: Shop,
    pub(crate) locale: Locale,
    pub(crate) providers: Configured,
    caller: Caller,
    clock: StandingClock,
    pool: PgPool,
    owner: PgPool,
    _database: TestDatabase,
}

impl World {
    /// A shop in Kigali that sells in RWF.
    pub(crate) async fn new() -> World {
        World::with(|_| {}).await
    }

    /// A shop that sells in another currency.
    pub(crate) async fn selling_in(currency: &str) -> World {
        World::with(|shop| shop.currency = currency.parse().unwrap()).await
    }

    /// A shop with its own settings.
    pub(crate) async fn with(settle: impl FnOnce(&mut Shop)) -> World {
        let database = TestDatabase::new().await;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy(&database.url(Role::Shop))
            .unwrap();
        let owner = database.owner_pool().await;
        let mut shop = Shop {
            tenant: TenantId(Uuid::from_u128(rand::random())),
            name: "Kimironko Corner".to_owned(),
            currency: "RWF".parse().unwrap(),
            country: Some("RW".parse().unwrap()),
            time_zone: chrono_tz::Africa::Kigali,
            locale: Locale::En,
            tax_inclusive: true,
            allow_negative_stock: false,
            confirmation_ttl: std::time::Duration::from_secs(300),
            unasked_clients: UnaskedClients::Page,
        };
        settle(&mut shop);
        let now = "2026-11-20T09:00:00Z".parse().unwrap();
        insert_tenant(&owner, &shop, now).await;
        World {
            caller: Caller {
                tenant: shop.tenant,
                subject: "amina".to_owned(),
                role: PrincipalRole::Owner,
                customer: None,
                reach: contracts::scope::Reach::EVERYTHING,
                door: Door::Local,
            },
            locale: shop.locale,
            providers: Configured::default(),
            shop,
            clock: StandingClock(Mutex::new(now)),
            pool,
            owner,
            _database: database,
        }
    }

    /// Another shop in the same database.
    pub(crate) async fn neighbour(&self) -> Shop {
        let mut shop = self.shop.clone();
        shop.tenant = TenantId(Uuid::from_u128(rand::random()));
        insert_tenant(&self.owner, &shop, self.clock.now()).await;
        shop
    }

    /// The same world seen from another shop.
    pub(crate) fn stand_in(&mut self, shop: Shop) {
        self.caller.tenant = shop.tenant;
        self.shop = shop;
    }

    /// From now on the caller is this customer.
    pub(crate) async fn become_customer(&mut self, name: &str) {
        let id =
            sqlx::query_scalar("select id from shop.customers where tenant_id = $1 and name = $2")
                .bind(self.shop.tenant.0)
                .bind(name)
                .fetch_one(&self.owner)
                .await
                .unwrap();
        self.caller.subject = name.to_lowercase();
        self.caller.role = PrincipalRole::Customer;
        self.caller.customer = Some(id);
    }

    pub(crate) fn move_clock_to(&self, at: &str) {
        *self.clock.0.lock().unwrap() = at.parse().unwrap();
    }

    fn tick(&self) {
        *self.clock.0.lock().unwrap() += TimeDelta::seconds(1);
    }

    /// A call as the call path makes it.
    pub(crate) fn call<'a>(&'a self, conn: &'a mut PgConnection) -> Call<'a> {
        Call {
            conn,
            shop: &self.shop,
            caller: &self.caller,
            locale: self.locale,
            now: self.clock.now(),
            public_url: "http://127.0.0.1:8001",
            providers: self.providers,
            confirmation: None,
            clock: &self.clock,
        }
    }

    /// Reads, and proves that reading needs no right to write.
    pub(crate) async fn read<T: ReadTool>(&self, input: Value) -> Result<T::Output, CallError> {
        let mut transaction = self.begin().await;
        sqlx::query("set transaction read only")
            .execute(&mut *transaction)
            .await?;
        T::read(&mut self.call(&mut transaction), parsed::<T>(input)).await
    }

    /// Writes and commits.
    pub(crate) async fn write<T: WriteTool>(&self, input: Value) -> Result<T::Output, CallError> {
        let mut transaction = self.begin().await;
        let Effected { output, audit, .. } =
            T::write(&mut self.call(&mut transaction), parsed::<T>(input)).await?;
        transaction.commit().await?;
        self.check(&audit).await;
        Ok(output)
    }

    /// What a person would be asked. Proves that asking writes nothing.
    pub(crate) async fn ask<T: CommitTool>(
        &self,
        input: Value,
    ) -> Result<Prepared<T::Plan>, CallError> {
        let mut transaction = self.begin().await;
        sqlx::query("set transaction read only")
            .execute(&mut *transaction)
            .await?;
        T::prepare(&mut self.call(&mut transaction), &parsed::<T>(input)).await
    }

    /// The person says yes: prepared again and done, in one transaction.
    pub(crate) async fn agree<T: CommitTool>(&self, input: Value) -> Result<T::Output, CallError> {
        let (output, audit) = self.agree_unchecked::<T>(input).await?;
        self.check(&audit).await;
        Ok(output)
    }

    /// Like [`World::agree`]: the topics of what others are told, in their order.
    pub(crate) async fn told<T: CommitTool>(
        &self,
        input: Value,
    ) -> Result<Vec<&'static str>, CallError> {
        let mut transaction = self.begin().await;
        let mut call = self.call(&mut transaction);
        let input = parsed::<T>(input);
        let prepared = T::prepare(&mut call, &input).await?;
        let done = T::execute(&mut call, input, prepared.plan).await?;
        transaction.commit().await?;
        self.check(&done.audit).await;
        Ok(done.events.iter().map(|event| event.topic).collect())
    }

    /// Like [`World::agree`] for many at once: the invariants are checked when all are done.
    pub(crate) async fn agree_unchecked<T: CommitTool>(
        &self,
        input: Value,
    ) -> Result<(T::Output, Audit), CallError> {
        let mut transaction = self.begin().await;
        let mut call = self.call(&mut transaction);
        let input = parsed::<T>(input);
        let prepared = T::prepare(&mut call, &input).await?;
        let Effected { output, audit, .. } = T::execute(&mut call, input, prepared.plan).await?;
        transaction.commit().await?;
        Ok((output, audit))
    }

    /// The second half of a yes alone, so that a test can let something happen between the halves.
    pub(crate) async fn execute_in<T: CommitTool>(
        &self,
        transaction: &mut PgConnection,
        input: T::Input,
        plan: T::Plan,
    ) -> Result<T::Output, CallError> {
        let done = T::execute(&mut self.call(transaction), input, plan).await?;
        Ok(done.output)
    }

    /// A transaction as the call path begins it.
    pub(crate) async fn begin(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        sqlx::query("select set_config('app.tenant', $1, true)")
            .bind(self.shop.tenant.to_string())
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    }

    /// The program around the tools, on this world's database, with a clock of its own that stands still until it is moved.
    pub(crate) fn app(&self) -> (App, Arc<StandingClock>) {
        let clock = Arc::new(StandingClock(Mutex::new(self.clock.now())));
        let app = App::new(
            self.pool.clone(),
            Arc::<StandingClock>::clone(&clock),
            "http://127.0.0.1:8001".to_owned(),
            [1; 32],
            [2; 32],
        );
        (app, clock)
    }

    /// A call as a client makes it.
    pub(crate) async fn run<T: Tool>(
        &self,
        app: &App,
        arguments: &Value,
        answering: Option<(&str, bool)>,
    ) -> Answer {
        let request = ToolRequest {
            name: T::NAME.to_owned(),
            arguments: arguments.as_object().unwrap().clone(),
            locale: Some(self.locale),
            request_state: answering.map(|(token, _)| token.to_owned()),
            person_says: answering.map(|(_, yes)| yes),
            ..ToolRequest::default()
        };
        call::run(app, &self.caller, request, true).await
    }

    /// The calendar file of a booking.
    pub(crate) async fn calendar_file(&self, reference: &str) -> Result<String, CallError> {
        let mut transaction = self.begin().await;
        calendar::file(&mut self.call(&mut transaction), reference).await
    }

    /// One number, asked as the owner of the database.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.owner)
            .await
            .unwrap()
    }

    /// The newest bill.
    pub(crate) async fn newest_bill(&self) -> Uuid {
        sqlx::query_scalar(
            "select id from shop.bills where kind = 'invoice' order by number desc limit 1",
        )
        .fetch_one(&self.owner)
        .await
        .unwrap()
    }

    /// Does something no tool does, as the owner of the database.
    pub(crate) async fn arrange(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.owner).await.unwrap();
    }

    async fn check(&self, audit: &Audit) {
        assert!(
            audit.subject.contains(':') && (audit.before.is_some() || audit.after.is_some()),
            "an effect leaves a trace: {audit:?}"
        );
        self.check_invariants().await;
        self.tick();
    }

    /// Breaks every rule on purpose, one sabotage at a time, and sees that its query finds it. `breaks` names rules by their place.
    pub(crate) async fn every_rule_can_fail(
        &self,
        rules: &[Invariant],
        breaks: &[(usize, &'static str)],
    ) {
        for (place, sabotage) in breaks {
            let mut transaction = self.owner.begin().await.unwrap();
            sqlx::raw_sql(*sabotage)
                .execute(&mut *transaction)
                .await
                .unwrap();
            let rule = rules[*place];
            let found: i64 = sqlx::query_scalar(rule.broken)
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert!(found > 0, "{}: not found after {sabotage}", rule.says);
        }
        let proven: std::collections::BTreeSet<usize> =
            breaks.iter().map(|(place, _)| *place).collect();
        assert_eq!(proven.len(), rules.len(), "every rule is proven");
    }

    /// Every rule of the business.
    pub(crate) async fn check_invariants(&self) {
        for rule in invariants::all().filter(|rule| !invariants::is_of_calls(rule)) {
            let broken = self.number(rule.broken).await;
            assert_eq!(broken, 0, "{}: {}", rule.number, rule.says);
        }
    }
}

/// The tool's arguments, as they come over the wire.
fn parsed<T: Tool>(input: Value) -> T::Input {
    serde_json::from_value(input).unwrap()
}

/// The refusal of a call that was to be refused.
pub(crate) fn refusal<T>(result: Result<T, CallError>) -> ToolFailure {
    match result {
        Err(CallError::Refused(failure)) => {
            assert!(!failure.hint.is_empty(), "a hint says what to do next");
            failure
        }
        Err(other) => panic!("a refusal was expected, not {other}"),
        Ok(_) => panic!("a refusal was expected"),
    }
}

async fn insert_tenant(owner: &PgPool, shop: &Shop, now: DateTime<Utc>) {
    sqlx::query(
        "insert into shop.tenants (id, name, currency, time_zone, locale, tax_inclusive, allow_negative_stock, created_at, country)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(shop.tenant.0)
    .bind(&shop.name)
    .bind(shop.currency.code())
    .bind(shop.time_zone.name())
    .bind(shop.locale.tag())
    .bind(shop.tax_inclusive)
    .bind(shop.allow_negative_stock)
    .bind(now)
    .bind(shop.country.as_ref().map(Country::code))
    .execute(owner)
    .await
    .unwrap();
}
