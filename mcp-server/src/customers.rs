//! Finding customers by name. Somebody unknown is a new customer; somebody whose name is nearly one we know is asked about, so that
//! Ali does not become Aly on the next bill.

use contracts::failure::{Candidate, ToolFailure};
use contracts::locale::Locale;
use contracts::quantity::Exact;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::likeness::{Folded, OFFERED_MAX, score};
use crate::error::CallError;
use crate::handler::Call;
use crate::phones::{self, E164};
use crate::typed::{self, CUSTOMER_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::billing;

/// From here on, in thousandths, a name is near enough to be asked about.
const NEAR: u16 = 750;
/// Names this short are near when one letter differs: Aly is not quite Ali.
const NEAR_LETTERS_MIN: usize = 3;
/// How many of the most similar names are looked at.
const NARROWED_TO: i32 = 50;
/// What is said before a name to insist on a new customer.
const INSIST: [&str; 6] = [
    "new customer ",
    "new client ",
    "nuevo cliente ",
    "nueva cliente ",
    "nueva clienta ",
    "cliente nuevo ",
];

/// A customer of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    /// The customer's id.
    pub id: Uuid,
    /// The name.
    pub name: String,
}

/// Who a bill is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buyer {
    /// Somebody known.
    Known(Customer),
    /// Somebody to be created with the bill.
    New {
        /// The name.
        name: String,
        /// The person insisted, although the name is known.
        insisted: bool,
    },
}

/// Who a name on a new bill means; for a customer principal herself, whatever the name: she makes nobody new and learns of nobody else.
///
/// # Errors
/// `ambiguous_customer` when the name is several people's, or nearly somebody's.
pub(crate) async fn buyer(
    call: &mut Call<'_>,
    text: &str,
    field: &str,
) -> Result<Buyer, CallError> {
    if let Some(id) = call.caller.confined_to() {
        return own(call, id, field).await.map(Buyer::Known);
    }
    let text = typed::line(
        text,
        Thing::Customer,
        field,
        CUSTOMER_CHARS_MAX,
        call.locale,
    )?;
    if let Some(name) = insisted_name(&text) {
        return Ok(Buyer::New {
            name: capitalised_words(name),
            insisted: true,
        });
    }
    match look_up(call, &text).await? {
        Lookup::One(customer) => Ok(Buyer::Known(customer)),
        Lookup::Several(people) => {
            Err(billing::ambiguous_customer(call.locale, &text, candidates(&people), field).into())
        }
        Lookup::Nobody(near) if near.is_empty() => Ok(Buyer::New {
            // Somebody named by a number has that number, however it was spelt.
            name: phones::read(&text, call.shop.country)
                .map_or_else(|_| capitalised_words(text), E164::into_string),
            insisted: false,
        }),
        Lookup::Nobody(near) => {
            Err(billing::nearly_a_customer(call.locale, &text, candidates(&near), field).into())
        }
    }
}

/// The name of somebody new, and whether the person insisted on it with "new customer …".
pub(crate) fn new_name(
    text: &str,
    field: &str,
    locale: Locale,
) -> Result<(String, bool), ToolFailure> {
    let text = typed::line(text, Thing::Customer, field, CUSTOMER_CHARS_MAX, locale)?;
    let insisted = insisted_name(&text);
    let is_insisted = insisted.is_some();
    Ok((capitalised_words(insisted.unwrap_or(text)), is_insisted))
}

/// Whose number this is.
///
/// # Errors
/// When the database fails.
pub(crate) async fn by_phone(
    conn: &mut PgConnection,
    tenant: Uuid,
    phone: &E164,
) -> Result<Option<Customer>, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "select id, name from shop.customers where tenant_id = $1 and deleted_at is null and phone_e164 = $2",
        tenant,
        phone.as_str()
    )
    .fetch_optional(conn)
    .await
}

/// Somebody of exactly this name, who may have a number of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namesake {
    /// The name, and what tells them apart.
    pub candidate: Candidate,
    /// Whether their number is known.
    pub has_phone: bool,
}

/// Everybody of this name. Nobody else of that name can be made until the commit.
///
/// # Errors
/// When the database fails.
pub(crate) async fn namesakes(call: &mut Call<'_>, name: &str) -> Result<Vec<Namesake>, CallError> {
    let tenant = call.tenant();
    lock_name(call.conn, tenant, name).await?;
    let mut people = select_exact(call.conn, tenant, name, None, None).await?;
    people.retain(|person| person.kind == NAME);
    let has_phone: Vec<bool> = people.iter().map(|p| p.phone.is_some()).collect();
    let people: Vec<(Person, u16)> = people.into_iter().map(|person| (person, 1000)).collect();
    Ok(candidates(&people)
        .into_iter()
        .zip(has_phone)
        .map(|(candidate, has_phone)| Namesake {
            candidate,
            has_phone,
        })
        .collect())
}

/// The customer a question is about: a customer principal herself, whether named or not; for others the one they name, if any.
///
/// # Errors
/// Those of [`known`].
pub(crate) async fn whose(
    call: &mut Call<'_>,
    text: Option<&str>,
    field: &str,
) -> Result<Option<Customer>, CallError> {
    match (call.caller.confined_to(), text) {
        (Some(id), _) => own(call, id, field).await.map(Some),
        (None, Some(text)) => known(call, text, field).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// The customer a name in a question means; for a customer principal herself, whatever the name.
///
/// # Errors
/// `unknown_customer` or `ambiguous_customer`.
pub(crate) async fn known(
    call: &mut Call<'_>,
    text: &str,
    field: &str,
) -> Result<Customer, CallError> {
    if let Some(id) = call.caller.confined_to() {
        return own(call, id, field).await;
    }
    let text = typed::line(
        text,
        Thing::Customer,
        field,
        CUSTOMER_CHARS_MAX,
        call.locale,
    )?;
    let failure = match look_up(call, &text).await? {
        Lookup::One(customer) => return Ok(customer),
        Lookup::Several(people) => {
            billing::ambiguous_customer(call.locale, &text, candidates(&people), field)
        }
        Lookup::Nobody(near) => {
            billing::unknown_customer(call.locale, &text, candidates(&near), field)
        }
    };
    Err(failure.into())
}

/// The customer a principal is confined to. One that was removed since is told what is told of a customer who is not there.
async fn own(call: &mut Call<'_>, id: Uuid, field: &str) -> Result<Customer, CallError> {
    let tenant = call.tenant();
    select_one(call.conn, tenant, id).await?.ok_or_else(|| {
        billing::unknown_customer(call.locale, &id.to_string(), Vec::new(), field).into()
    })
}

/// Writes a new customer. Two bills for the same new name at once make one customer, unless the person insisted: the second waits
/// for the first and finds its customer there.
///
/// # Errors
/// When the database fails.
pub(crate) async fn create(
    call: &mut Call<'_>,
    name: &str,
    insisted: bool,
) -> Result<Customer, CallError> {
    let tenant = call.tenant();
    if call.caller.confined_to().is_some() {
        return Err(CallError::Broken(
            "a customer principal would make a customer".to_owned(),
        ));
    }
    if !insisted {
        lock_name(call.conn, tenant, name).await?;
        let mut there: Vec<Person> = select_exact(call.conn, tenant, name, None, None).await?;
        there.retain(|person| person.kind == NAME);
        if let [only] = there.as_slice() {
            return Ok(only.customer());
        }
    }
    let id = call.new_id();
    let phone = phones::read(name, None).ok().filter(|_| !insisted);
    if !insert(call.conn, tenant, id, name, phone.as_ref(), call.now).await?
        && let Some(phone) = phone
    {
        // Somebody with that number was written in between.
        return by_phone(call.conn, tenant, &phone)
            .await?
            .ok_or_else(|| CallError::Broken(format!("nobody has the taken number {phone}")));
    }
    Ok(Customer {
        id,
        name: name.to_owned(),
    })
}

enum Lookup {
    One(Customer),
    Several(Vec<(Person, u16)>),
    Nobody(Vec<(Person, u16)>),
}

async fn look_up(call: &mut Call<'_>, text: &str) -> Result<Lookup, CallError> {
    let tenant = call.tenant();
    let (name, inside) = pointed_at(text);
    let id = inside.unwrap_or(name).parse::<Uuid>().ok();
    let phone = phones::read(inside.unwrap_or(name), call.shop.country).ok();
    let number = phone.as_ref().map(E164::as_str);
    let people = select_exact(call.conn, tenant, text, id, number).await?;
    let best = people.iter().map(|person| person.kind).min();
    let same: Vec<Person> = people
        .into_iter()
        .filter(|person| Some(person.kind) == best)
        .collect();
    if let [only] = same.as_slice() {
        return Ok(Lookup::One(only.customer()));
    }
    if !same.is_empty() {
        let all = same.into_iter().map(|person| (person, 1000)).collect();
        return Ok(Lookup::Several(all));
    }
    let similar = match people_alike(call.conn, tenant, text, NARROWED_TO).await? {
        Some(ids) => select_these(call.conn, tenant, text, &ids).await?,
        None => select_similar(call.conn, tenant, text, NARROWED_TO.into()).await?,
    };
    let near = near(text, similar);
    // Jean-Bosco is Jean Bosco; and somebody created since the first look is found by this one.
    let said = Folded::new(text);
    let is_same = |person: &Person| Folded::new(&person.name).words() == said.words();
    let same = near.iter().filter(|(p, _)| is_same(p)).count();
    Ok(match near.iter().find(|(p, _)| is_same(p)) {
        Some((only, _)) if same == 1 => Lookup::One(only.customer()),
        Some(_) => Lookup::Several(near),
        None => Lookup::Nobody(near),
    })
}

/// The people whose names are nearly this one, best first. Pure.
fn near(text: &str, people: Vec<Person>) -> Vec<(Person, u16)> {
    let asked = Folded::new(text);
    let mut near: Vec<(Person, u16)> = people
        .into_iter()
        .filter_map(|person| {
            let name = Folded::new(&person.name);
            let likeness = score(&asked, &name);
            (likeness >= NEAR || one_letter_apart(&asked, &name)).then_some((person, likeness))
        })
        .collect();
    near.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.name.cmp(&b.name)));
    near.truncate(OFFERED_MAX);
    near
}

/// The names, or the first names where only that was said, differ in one letter that is not the first.
fn one_letter_apart(asked: &Folded, name: &Folded) -> bool {
    let ([said], [first, ..]) = (asked.words(), name.words()) else {
        return false;
    };
    let letters = said.chars().count().min(first.chars().count());
    letters >= NEAR_LETTERS_MIN
        && said.chars().next() == first.chars().next()
        && strsim::osa_distance(said, first) <= 1
}

/// "Ali (+250788123456)", as candidates are named that share a name, is the name and what tells them apart.
fn pointed_at(text: &str) -> (&str, Option<&str>) {
    match text
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
    {
        Some((name, inside)) => (name.trim(), Some(inside.trim())),
        None => (text, None),
    }
}

fn insisted_name(text: &str) -> Option<String> {
    INSIST.iter().find_map(|prefix| {
        let start = text.get(..prefix.len())?;
        let name = text.get(prefix.len()..)?.trim();
        (start.eq_ignore_ascii_case(prefix) && !name.is_empty()).then(|| name.to_owned())
    })
}

/// A name typed without any capital gets one at each word: ali hassan is Ali Hassan.
fn capitalised_words(name: String) -> String {
    if name.chars().any(char::is_uppercase) {
        return name;
    }
    name.split(' ')
        .map(|word| typed::capitalised(word.to_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Candidates by names the call can be repeated with: people who share a name are told apart by phone or id.
fn candidates(people: &[(Person, u16)]) -> Vec<Candidate> {
    people
        .iter()
        .take(OFFERED_MAX)
        .map(|(person, likeness)| {
            let shared = people
                .iter()
                .any(|(other, _)| other.id != person.id && other.name_norm == person.name_norm);
            let name = if shared {
                let mark = person
                    .phone
                    .clone()
                    .unwrap_or_else(|| person.id.to_string());
                format!("{} ({mark})", person.name)
            } else {
                person.name.clone()
            };
            Candidate {
                name,
                score: Some(Exact(Decimal::new(i64::from(likeness / 10), 2).normalize())),
                ..Candidate::default()
            }
        })
        .collect()
}

/// Kinds of a hit, the best first: by phone or id, by the whole name, by the first name.
const NAME: i32 = 1;

#[derive(Debug, Clone)]
struct Person {
    id: Uuid,
    name: String,
    name_norm: String,
    phone: Option<String>,
    kind: i32,
}

impl Person {
    fn customer(&self) -> Customer {
        Customer {
            id: self.id,
            name: self.name.clone(),
        }
    }
}

/// How many people of one name are looked at: more than are offered, so that "several" is known to be true.
const SAME_NAME_MAX: i64 = 10;

async fn select_exact(
    conn: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    id: Option<Uuid>,
    phone: Option<&str>,
) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        r#"select hit.id as "id!", hit.name as "name!", hit.name_norm as "name_norm!", hit.phone as "phone?", hit.kind as "kind!" from (
               select c.id, c.name, c.name_norm, c.phone_e164 as phone, 0 as kind from shop.customers c
               where c.tenant_id = $1 and c.deleted_at is null and c.id = $3::uuid
               union all
               select c.id, c.name, c.name_norm, c.phone_e164, 0 from shop.customers c
               where c.tenant_id = $1 and c.deleted_at is null and c.phone_e164 = $4::text
               union all
               select c.id, c.name, c.name_norm, c.phone_e164, 1 from shop.customers c
               where c.tenant_id = $1 and c.deleted_at is null and c.name_norm = shop.norm($2)
               union all
               select c.id, c.name, c.name_norm, c.phone_e164, 2 from shop.customers c
               where c.tenant_id = $1 and c.deleted_at is null and c.first_norm = (select shop.norm($2))
                 and c.name_norm <> (select shop.norm($2))
           ) hit
           order by hit.kind, hit.name_norm, hit.id
           limit $5"#,
        tenant,
        text,
        id,
        phone,
        SAME_NAME_MAX
    )
    .fetch_all(conn)
    .await
}

async fn select_one(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Customer>, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "select id, name from shop.customers where tenant_id = $1 and id = $2 and deleted_at is null",
        tenant,
        id
    )
    .fetch_optional(conn)
    .await
}

/// Up to this many customers are all compared by name; beyond it the index narrows them down first.
const COMPARED_MAX: i64 = 2_000;

/// The `most` customers whose names are most like a text, in a shop with too many to compare them all; `None` in any other.
///
/// # Errors
/// When the database fails.
pub(crate) async fn people_alike(
    conn: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    most: i32,
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select case when (select count(*) from (select from shop.customers c
                                                   where c.tenant_id = $1 and c.deleted_at is null limit $4::bigint + 1) few) > $4
                  then array(select a.id from shop.customers_alike($1, $2, $3) a) end as "ids""#,
        tenant,
        text,
        most,
        COMPARED_MAX
    )
    .fetch_one(conn)
    .await
}

async fn select_these(
    conn: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    ids: &[Uuid],
) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        r#"select c.id, c.name, c.name_norm, c.phone_e164 as phone, 3 as "kind!" from shop.customers c
           where c.tenant_id = $1 and c.id = any($3) and position(' ' || left((select shop.norm($2)), 1) in ' ' || c.name_norm) > 0"#,
        tenant,
        text,
        ids
    )
    .fetch_all(conn)
    .await
}

/// Only names with a word of the same first letter are compared: others are never near, and comparing is what costs.
async fn select_similar(
    conn: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    most: i64,
) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        r#"with asked as materialized (select shop.norm($2) as norm)
           select c.id, c.name, c.name_norm, c.phone_e164 as phone, 3 as "kind!" from shop.customers c cross join asked
           where c.tenant_id = $1 and c.deleted_at is null and position(' ' || left(asked.norm, 1) in ' ' || c.name_norm) > 0
           order by greatest(public.similarity(asked.norm, c.name_norm), public.word_similarity(asked.norm, c.name_norm)) desc, c.id
           limit $3"#,
        tenant,
        text,
        most
    )
    .fetch_all(conn)
    .await
}

/// There is no row to lock yet. The lock is the tenant's and the name's, held until the commit.
async fn lock_name(conn: &mut PgConnection, tenant: Uuid, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('customer ' || $1::text || ' ' || shop.norm($2), 0))",
        tenant.to_string(),
        name
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    name: &str,
    phone: Option<&E164>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.customers (tenant_id, id, name, phone_e164, created_at) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, phone_e164) where phone_e164 is not null and deleted_at is null do nothing",
        tenant,
        id,
        name,
        phone.map(E164::as_str),
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearly<'a>(text: &str, names: &[&'a str]) -> Vec<&'a str> {
        let people = names
            .iter()
            .enumerate()
            .map(|(i, name)| Person {
                id: Uuid::from_u128(i as u128),
                name: (*name).to_owned(),
                name_norm: name.to_lowercase(),
                phone: None,
                kind: 3,
            })
            .collect();
        near(text, people)
            .iter()
            .map(|(person, _)| names[usize::try_from(person.id.as_u128()).unwrap()])
            .collect()
    }

    #[test]
    fn nearly_a_name_is_asked_about_and_another_name_is_not() {
        let people = ["Ali", "Beatriz Uwase", "Jean Bosco", "Zoe"];
        assert_eq!(nearly("Aly", &people), ["Ali"]);
        assert_eq!(nearly("Beatris", &people), ["Beatriz Uwase"]);
        assert_eq!(nearly("beatriz uwas", &people), ["Beatriz Uwase"]);
        assert_eq!(nearly("Uwase", &people), ["Beatriz Uwase"]);
        assert_eq!(nearly("Joe", &people), Vec::<&str>::new());
        assert_eq!(nearly("Amina", &people), Vec::<&str>::new());
    }

    #[test]
    fn a_person_can_insist_on_somebody_new() {
        assert_eq!(insisted_name("New Customer Aly"), Some("Aly".to_owned()));
        assert_eq!(insisted_name("nueva clienta Zoé"), Some("Zoé".to_owned()));
        assert_eq!(insisted_name("Newton"), None);
        assert_eq!(insisted_name("ñññññññññññññ"), None);
        assert_eq!(capitalised_words("ali hassan".to_owned()), "Ali Hassan");
        assert_eq!(capitalised_words("DJ mike".to_owned()), "DJ mike");
    }

    #[test]
    fn people_who_share_a_name_are_told_apart() {
        assert_eq!(
            pointed_at("Ali (+250788123456)"),
            ("Ali", Some("+250788123456"))
        );
        assert_eq!(pointed_at("Ali"), ("Ali", None));
    }
}
