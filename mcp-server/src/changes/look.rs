//! One look at one tenant: what its lists are made of, who its listeners are by now, and what the resources they listen for hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Beginning, Listener, News, held};
use crate::app::App;
use crate::caller::{Caller, Door};
use crate::error::CallError;
use crate::server::resource_digest;

/// How long after its call has begun an effect may still be committed, beside the call's own deadline, and how far the clocks of two
/// machines may differ.
const LATE: TimeDelta = TimeDelta::seconds(5);
/// What lists are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    shop: Shop,
    standing: Option<Standing>,
    /// A digest; `None` where nobody wants to know.
    categories: Option<String>,
}

/// The tenant's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shop {
    /// Name, currency, time zone and language, which stand beside the list of tools.
    facts: String,
    locale: String,
    /// Which tools ask whom, as a digest.
    policies: String,
    is_suspended: bool,
}

/// A principal's rights as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    role: String,
    customer: Option<Uuid>,
    scopes: Vec<String>,
    is_let_in: bool,
}

/// What the lists of a caller are made of now.
///
/// # Errors
/// When the database fails.
pub(super) async fn lists_of(app: &App, caller: &Caller) -> Result<Look, CallError> {
    let mut tx = app.begin_reading(caller.tenant).await?;
    let shop = select_shop(&mut tx, caller.tenant.0).await?;
    let standing = standings(&mut tx, std::slice::from_ref(caller), app.clock.now())
        .await?
        .remove(&name_of(caller));
    let categories = Some(select_categories(&mut tx, caller.tenant.0).await?);
    Ok(Look {
        shop,
        standing,
        categories,
    })
}

/// Reads what the resources of a listener that begins hold.
pub(super) async fn begin(app: &App, listener: &Listener, beginning: Beginning) {
    let caller = held(&listener.caller).clone();
    let mut resources = BTreeMap::new();
    for uri in &listener.wanted.uris {
        let digest = resource_digest(app, &caller, listener.locale, uri).await;
        resources.insert(uri.clone(), digest);
    }
    let mut seen = held(&listener.seen);
    seen.look = beginning.look;
    seen.resources = resources;
    seen.begun_at = Some(beginning.at);
}

/// Looks again, for everybody who listens for a tenant, and tells them what has changed.
pub(super) async fn again(
    app: &App,
    tenant: TenantId,
    listeners: &[Arc<Listener>],
) -> Result<(), CallError> {
    let now = app.clock.now();
    let callers: Vec<Caller> = listeners
        .iter()
        .map(|listener| held(&listener.caller).clone())
        .collect();
    let mut tx = app.begin_reading(tenant).await?;
    let shop = select_shop(&mut tx, tenant.0).await?;
    let standings = standings(&mut tx, &callers, now).await?;
    let last = select_last_effect(&mut tx, tenant.0).await?;
    let late = TimeDelta::from_std(app.call_deadline).unwrap_or(TimeDelta::MAX / 2) + LATE;
    let is_busy = last.is_some_and(|last| last > now - late);
    let categories = match is_busy && listeners.iter().any(|l| l.wanted.resources) {
        true => Some(select_categories(&mut tx, tenant.0).await?),
        false => None,
    };
    drop(tx);
    let mut read = Vec::new();
    for (listener, caller) in listeners.iter().zip(&callers) {
        let standing = standings.get(&name_of(caller)).cloned();
        let look = Look {
            shop: shop.clone(),
            standing,
            categories: categories.clone(),
        };
        let news = lists(listener, look);
        listener.tell(news);
        if is_busy {
            let since = held(&listener.seen).begun_at.take();
            let at_the_beginning = since.is_some_and(|since| last >= Some(since));
            let news = resources(app, listener, at_the_beginning, &mut read).await;
            listener.tell(news);
        } else {
            held(&listener.seen).begun_at = None;
        }
    }
    Ok(())
}

/// Which lists are others by now. Who listens is from here on who the principal has become.
fn lists(listener: &Listener, look: Look) -> News {
    let mut seen = held(&listener.seen);
    let before = std::mem::replace(&mut seen.look, look);
    if seen.look.categories.is_none() {
        seen.look.categories.clone_from(&before.categories);
    }
    let now = &seen.look;
    let is_other = before.standing != now.standing;
    if is_other && let Some(standing) = &now.standing {
        become_of(&mut held(&listener.caller), standing);
    }
    let language = before.shop.locale != now.shop.locale;
    let shop = before.shop.facts != now.shop.facts || before.shop.policies != now.shop.policies;
    let is_let_in = now.standing.as_ref().is_none_or(|s| s.is_let_in);
    News {
        tools: listener.wanted.tools && (is_other || shop),
        prompts: listener.wanted.prompts && (is_other || language),
        resources: listener.wanted.resources
            && (is_other || language || before.categories != now.categories),
        uris: Default::default(),
        is_over: now.shop.is_suspended || !is_let_in,
    }
}

/// The principal with other rights. Its reach can only have become less for this connection: what its headers and the server leave out
/// is not known here.
fn become_of(caller: &mut Caller, standing: &Standing) {
    caller.role = match standing.role.as_str() {
        "owner" => PrincipalRole::Owner,
        "staff" => PrincipalRole::Staff,
        _ => PrincipalRole::Customer,
    };
    caller.customer = standing.customer;
    let scopes = standing.scopes.iter().map(String::as_str);
    let reach = Reach::of_scopes(scopes).unwrap_or(Reach::NOTHING);
    caller.reach = caller.reach.narrowed(reach);
}

/// What somebody read in this look: listeners who may read the same are answered with the same.
type ReadNow = Vec<(Caller, Option<Locale>, String, Option<[u8; 32]>)>;

/// Which of the resources hold something else by now.
async fn resources(
    app: &App,
    listener: &Listener,
    at_the_beginning: bool,
    read: &mut ReadNow,
) -> News {
    let caller = held(&listener.caller).clone();
    let mut news = News::default();
    for uri in &listener.wanted.uris {
        let known = read.iter().find(|(who, locale, address, _)| {
            (who, locale, address) == (&caller, &listener.locale, uri)
        });
        let digest = match known {
            Some((.., digest)) => *digest,
            None => {
                let digest = resource_digest(app, &caller, listener.locale, uri).await;
                read.push((caller.clone(), listener.locale, uri.clone(), digest));
                digest
            }
        };
        let before = held(&listener.seen).resources.insert(uri.clone(), digest);
        // What cannot be read is never news: whoever may not read it learns nothing of it.
        if digest.is_some() && (before != Some(digest) || at_the_beginning) {
            news.uris.insert(uri.clone());
        }
    }
    news
}

/// What a text comes down to.
pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// How a principal's rights are found: a key's by its id, everybody else's by name. Whoever is on this machine has all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Principal {
    Key(Uuid),
    Person(String),
    Here,
}

fn name_of(caller: &Caller) -> Principal {
    match &caller.door {
        Door::Local => Principal::Here,
        Door::Key(id) => Principal::Key(*id),
        Door::Agent { .. } | Door::Token | Door::Session => {
            Principal::Person(caller.subject.clone())
        }
    }
}

/// The rights of principals that are stored. A key that is gone has none; a person who is nowhere stored has those of the token.
async fn standings(
    conn: &mut PgConnection,
    callers: &[Caller],
    now: DateTime<Utc>,
) -> Result<BTreeMap<Principal, Standing>, sqlx::Error> {
    let (mut keys, mut people) = (Vec::new(), Vec::new());
    for caller in callers {
        match name_of(caller) {
            Principal::Key(id) => keys.push(id),
            Principal::Person(subject) => people.push(subject),
            Principal::Here => {}
        }
    }
    let mut found = BTreeMap::new();
    let Some(tenant) = callers.first().map(|caller| caller.tenant.0) else {
        return Ok(found);
    };
    if !keys.is_empty() {
        for key in select_keys(conn, tenant, &keys, now).await? {
            found.insert(Principal::Key(key.id), key.standing());
        }
    }
    if !people.is_empty() {
        for person in select_people(conn, tenant, &people).await? {
            let name = Principal::Person(person.subject.clone());
            found.insert(name, person.standing());
        }
    }
    Ok(found)
}

struct KeyRow {
    id: Uuid,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    is_let_in: bool,
}

impl KeyRow {
    fn standing(self) -> Standing {
        Standing {
            role: self.role,
            customer: self.customer_id,
            scopes: self.scopes,
            is_let_in: self.is_let_in,
        }
    }
}

struct PersonRow {
    subject: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    is_let_in: bool,
}

impl PersonRow {
    fn standing(self) -> Standing {
        Standing {
            role: self.role,
            customer: self.customer_id,
            scopes: self.scopes,
            is_let_in: self.is_let_in,
        }
    }
}

async fn select_shop(conn: &mut PgConnection, tenant: Uuid) -> Result<Shop, sqlx::Error> {
    sqlx::query_as!(
        Shop,
        r#"select concat_ws('|', t.name, t.currency, t.time_zone, t.locale) as "facts!", t.locale, t.suspended_at is not null as "is_suspended!",
                  (select coalesce(md5(string_agg(concat_ws('|', p.tool, p.ask, p.above_minor, p.approver), ',' order by p.tool)), '')
                   from shop.policies p where p.tenant_id = $1) as "policies!"
           from shop.tenants t where t.id = $1"#,
        tenant
    )
    .fetch_one(conn)
    .await
}

async fn select_keys(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    sqlx::query_as!(
        KeyRow,
        r#"select k.id, k.role, k.customer_id, k.scopes,
                  (k.revoked_at is null and (k.expires_at is null or k.expires_at > $3)) as "is_let_in!"
           from shop.api_keys k where k.tenant_id = $1 and k.id = any($2)"#,
        tenant,
        ids,
        now
    )
    .fetch_all(conn)
    .await
}

async fn select_people(
    conn: &mut PgConnection,
    tenant: Uuid,
    subjects: &[String],
) -> Result<Vec<PersonRow>, sqlx::Error> {
    sqlx::query_as!(
        PersonRow,
        r#"select p.subject, p.role, p.customer_id, p.scopes, p.disabled_at is null as "is_let_in!"
           from shop.people p where p.tenant_id = $1 and p.subject = any($2)"#,
        tenant,
        subjects
    )
    .fetch_all(conn)
    .await
}

/// When the newest effect's call began: every effect has its row of the audit.
async fn select_last_effect(
    conn: &mut PgConnection,
    tenant: Uuid,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select a.at from shop.audit_log a where a.tenant_id = $1 order by a.at desc, a.id desc limit 1",
        tenant
    )
    .fetch_optional(conn)
    .await
}

/// The categories there are, as a digest: one look into the index for each.
async fn select_categories(conn: &mut PgConnection, tenant: Uuid) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with recursive each (norm, place) as (
               (select i.category_norm, 1 from shop.items i
                where i.tenant_id = $1 and i.archived_at is null and i.category_norm > ''
                order by i.category_norm limit 1)
               union all
               (select next.category_norm, each.place + 1 from each
                cross join lateral (
                    select i.category_norm from shop.items i
                    where i.tenant_id = $1 and i.archived_at is null and i.category_norm > each.norm
                    order by i.category_norm limit 1
                ) next
                where each.place < 1000)
           )
           select coalesce(md5(string_agg(norm, '|' order by place)), '') as "digest!" from each"#,
        tenant
    )
    .fetch_one(conn)
    .await
}
