//! `find_customers`: customers by name, or by likeness to a name, number or address, a page at a time.

use std::collections::BTreeMap;

use contracts::money::Money;
use contracts::tools::profile::{
    CustomerHead, FindCustomers, FindCustomersInput, FindCustomersOutput,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::likeness::{Folded, SAME};
use crate::catalogue::ranking::{INSIDE, Ranked, is_shown, likeness, page_of};
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::typed::{self, CUSTOMER_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::inventory::Page;
use crate::words::profile;
use crate::{cursor, customers, phones};

/// How many people a search ranks; in a shop with more, Postgres narrows them down first.
const RANKED_MAX: i32 = 1_000;

/// Where a page starts: after this customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Place {
    #[serde(rename = "n")]
    Named(String, Uuid),
    #[serde(rename = "r")]
    Ranked(Ranked),
}

impl ReadTool for FindCustomers {
    async fn read(
        call: &mut Call<'_>,
        input: FindCustomersInput,
    ) -> Result<FindCustomersOutput, CallError> {
        let locale = call.locale;
        let limit = typed::page_limit(input.limit, locale)?;
        let line =
            |text: &String| typed::line(text, Thing::Query, "query", CUSTOMER_CHARS_MAX, locale);
        let query = input.query.as_ref().map(line).transpose()?;
        let bad_cursor = || arguments::bad_cursor(locale);
        let place: Option<Place> = match &input.cursor {
            None => None,
            Some(text) => Some(cursor::read(text).ok_or_else(bad_cursor)?),
        };
        let is_first = place.is_none();
        let (people, next) = match (&query, place) {
            (None, None) => by_name(call, None, limit).await?,
            (None, Some(Place::Named(name, id))) => by_name(call, Some((name, id)), limit).await?,
            (Some(query), None) => by_likeness(call, query, None, limit).await?,
            (Some(query), Some(Place::Ranked(after))) => {
                by_likeness(call, query, Some(after), limit).await?
            }
            (None, Some(Place::Ranked(_))) | (Some(_), Some(Place::Named(..))) => {
                return Err(bad_cursor().into());
            }
        };
        let page = match (is_first, &next) {
            (false, _) => Page::Later,
            (true, Some(_)) => Page::First,
            (true, None) => Page::Only,
        };
        let customers = heads(call, people).await?;
        Ok(FindCustomersOutput {
            summary: profile::listed(locale, query.as_deref(), &customers, page),
            customers,
            next_cursor: next.map(|place| cursor::write(&place)),
        })
    }
}

async fn by_name(
    call: &mut Call<'_>,
    after: Option<(String, Uuid)>,
    limit: usize,
) -> Result<(Vec<Person>, Option<Place>), CallError> {
    let tenant = call.tenant();
    let mut people = select_page(call.conn, tenant, after, limit + 1).await?;
    let more = people.len() > limit;
    people.truncate(limit);
    let next = people
        .last()
        .filter(|_| more)
        .map(|last| Place::Named(last.name_norm.clone(), last.id));
    Ok((people, next))
}

async fn by_likeness(
    call: &mut Call<'_>,
    query: &str,
    after: Option<Ranked>,
    limit: usize,
) -> Result<(Vec<Person>, Option<Place>), CallError> {
    let tenant = call.tenant();
    let sought = Sought::new(query, call.shop.country);
    let narrowed = match sought.by_name_alone() {
        true => customers::people_alike(call.conn, tenant, query, RANKED_MAX).await?,
        // A part of a number or of an address stands in no index.
        false => None,
    };
    let near = match narrowed {
        Some(ids) => select_these(call.conn, tenant, &ids).await?,
        None => select_near(call.conn, tenant, query, &sought).await?,
    };
    let mut people: BTreeMap<Uuid, Person> =
        near.into_iter().map(|person| (person.id, person)).collect();
    let scores: BTreeMap<Uuid, u16> = people
        .values()
        .map(|person| (person.id, sought.likeness(person)))
        .filter(|(_, likeness)| is_shown(*likeness))
        .collect();
    let (ids, next) = page_of(&scores, after, limit);
    let page = ids.iter().filter_map(|id| people.remove(id)).collect();
    Ok((page, next.map(Place::Ranked)))
}

/// What a search text can be: a name, a number or part of one, part of an address.
struct Sought {
    name: Folded,
    phone: Option<String>,
    digits: Option<String>,
    address: Option<String>,
}

impl Sought {
    fn new(query: &str, country: Option<phones::Country>) -> Sought {
        Sought {
            name: Folded::new(query),
            phone: phones::read(query, country)
                .ok()
                .map(phones::E164::into_string),
            digits: phones::part(query),
            // Without a sign of an address in it, a text would be found in everybody's.
            address: Some(query.to_lowercase()).filter(|text| text.contains(['@', '.'])),
        }
    }

    /// Whether nothing in it can be a number or an address.
    const fn by_name_alone(&self) -> bool {
        self.phone.is_none() && self.digits.is_none() && self.address.is_none()
    }

    /// Pure.
    fn likeness(&self, person: &Person) -> u16 {
        let phone = person.phone.as_deref();
        if phone.is_some() && phone == self.phone.as_deref() {
            return SAME;
        }
        let has = |text: Option<&str>, part: Option<&str>| match (text, part) {
            (Some(text), Some(part)) => text.contains(part),
            _ => false,
        };
        let email = person.email.as_deref().map(str::to_lowercase);
        let inside =
            has(phone, self.digits.as_deref()) || has(email.as_deref(), self.address.as_deref());
        let by_name = likeness(&self.name, &Folded::new(&person.name));
        if inside { by_name.max(INSIDE) } else { by_name }
    }
}

/// People as a list shows them, with what each owes.
async fn heads(call: &mut Call<'_>, people: Vec<Person>) -> Result<Vec<CustomerHead>, CallError> {
    let ids: Vec<Uuid> = people.iter().map(|person| person.id).collect();
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let owed: BTreeMap<Uuid, i64> = select_owed(call.conn, tenant, &ids)
        .await?
        .into_iter()
        .map(|row| (row.customer_id, row.owed))
        .collect();
    Ok(people
        .into_iter()
        .map(|person| CustomerHead {
            customer_id: person.id,
            owed: Money::minor(owed.get(&person.id).copied().unwrap_or_default(), currency),
            name: person.name,
            phone: person.phone,
            email: person.email,
        })
        .collect())
}

struct Person {
    id: Uuid,
    name: String,
    name_norm: String,
    phone: Option<String>,
    email: Option<String>,
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: Uuid,
    after: Option<(String, Uuid)>,
    most: usize,
) -> Result<Vec<Person>, sqlx::Error> {
    // No name sorts before nothing: the first page, too, is a range of the index.
    let (name, id) = after.unwrap_or((String::new(), Uuid::nil()));
    sqlx::query_as!(
        Person,
        "select id, name, name_norm, phone_e164 as phone, email from shop.customers
         where tenant_id = $1 and deleted_at is null and (name_norm, id) > ($2, $3)
         order by name_norm, id limit $4",
        tenant,
        name,
        id,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}

async fn select_these(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        "select id, name, name_norm, phone_e164 as phone, email from shop.customers where tenant_id = $1 and id = any($2)",
        tenant,
        ids
    )
    .fetch_all(conn)
    .await
}

/// The likeliest people, by what a search text can be; more precisely than by trigrams they are compared here.
async fn select_near(
    conn: &mut PgConnection,
    tenant: Uuid,
    query: &str,
    sought: &Sought,
) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        r#"with asked as materialized (select shop.norm($2) as norm),
           near as (
               select c.id, c.name, c.name_norm, c.phone_e164, c.email,
                      coalesce(c.phone_e164 = $3, false) or coalesce(position($4 in c.phone_e164) > 0, false)
                          or coalesce(position($5 in lower(c.email)) > 0, false) as is_reached,
                      greatest(public.similarity(asked.norm, c.name_norm), public.word_similarity(asked.norm, c.name_norm),
                               case when position(asked.norm in c.name_norm) > 0 then 1 else 0 end) as likeness
               from shop.customers c cross join asked
               where c.tenant_id = $1 and c.deleted_at is null
           )
           select n.id as "id!", n.name as "name!", n.name_norm as "name_norm!", n.phone_e164 as "phone?", n.email as "email?"
           from near n
           order by n.is_reached desc, n.likeness desc, n.id
           limit $6"#,
        tenant,
        query,
        sought.phone,
        sought.digits,
        sought.address,
        i64::from(RANKED_MAX)
    )
    .fetch_all(conn)
    .await
}

struct OwedRow {
    customer_id: Uuid,
    owed: i64,
}

async fn select_owed(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<OwedRow>, sqlx::Error> {
    sqlx::query_as!(
        OwedRow,
        r#"select customer_id as "customer_id!", sum(total - paid - credited)::bigint as "owed!" from shop.bills
           where tenant_id = $1 and customer_id = any($2) and status = 'open' and kind = 'invoice' group by customer_id"#,
        tenant,
        ids
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::locale::Locale;
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::AddItem;
    use contracts::tools::profile::CreateCustomer;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        for (name, phone, email) in [
            ("Ali Hassan", "0788123456", "ali@example.com"),
            ("Beatriz Uwase", "+34600123456", "bea.uwase@correo.es"),
            ("Jean-Bosco", "0722000111", ""),
            ("Zoé", "", ""),
        ] {
            let mut person = json!({"name": name});
            for (member, value) in [("phone", phone), ("email", email)] {
                if !value.is_empty() {
                    person[member] = json!(value);
                }
            }
            world.write::<CreateCustomer>(person).await.unwrap();
        }
        world
    }

    async fn found(world: &World, input: Value) -> (Vec<String>, String) {
        let page = world.read::<FindCustomers>(input).await.unwrap();
        let names = page.customers.into_iter().map(|c| c.name).collect();
        (names, page.summary)
    }

    #[tokio::test]
    async fn people_are_found_by_what_is_remembered_of_them() {
        let world = shop().await;
        for (query, expected) in [
            ("ali", vec!["Ali Hassan"]),
            ("Hasan", vec!["Ali Hassan"]),
            ("beatris", vec!["Beatriz Uwase"]),
            ("jean bosco", vec!["Jean-Bosco"]),
            ("zoe", vec!["Zoé"]),
            ("0788 123 456", vec!["Ali Hassan"]),
            ("0788", vec!["Ali Hassan"]),
            ("+34", vec![]),
            ("123456", vec!["Ali Hassan", "Beatriz Uwase"]),
            ("@example.com", vec!["Ali Hassan"]),
            ("BEA.UWASE", vec!["Beatriz Uwase"]),
            ("caviar", vec![]),
        ] {
            let (names, summary) = found(&world, json!({"query": query})).await;
            assert_eq!(names, expected, "{query}: {summary}");
        }
    }

    #[tokio::test]
    async fn a_list_says_who_owes_what() {
        let mut world = shop().await;
        let soap = json!({"name": "Soap", "unit_price": "100", "quantity": "100"});
        world.write::<AddItem>(soap).await.unwrap();
        for (customer, cash) in [("Ali", "30"), ("Zoé", "100")] {
            let bill = json!({"customer": customer, "lines": [{"item": "soap", "quantity": "1"}], "payment": {"method": "cash", "amount": cash}});
            world.agree::<CreateBill>(bill).await.unwrap();
        }
        let (_, summary) = found(&world, json!({})).await;
        assert_eq!(
            summary,
            "4 customers: Ali Hassan (RWF 70 owed), Beatriz Uwase, Jean-Bosco, Zoé."
        );
        let (_, summary) = found(&world, json!({"query": "zoe"})).await;
        assert_eq!(summary, "1 customer like zoe: Zoé.");
        world.locale = Locale::Es;
        let (_, summary) = found(&world, json!({"query": "caviar"})).await;
        assert_eq!(summary, "No hay clientes como caviar.");
    }

    #[tokio::test]
    async fn pages_show_everybody_once() {
        let world = World::new().await;
        let mut all: Vec<String> = (0..13).map(|i| format!("Client {i:02}")).collect();
        for name in &all {
            let person = json!({"name": name});
            world.write::<CreateCustomer>(person).await.unwrap();
        }
        all.sort();
        for mut input in [json!({"limit": 5}), json!({"limit": 4, "query": "client"})] {
            let mut seen = Vec::new();
            for _ in 0..10 {
                let page = world.read::<FindCustomers>(input.clone()).await.unwrap();
                seen.extend(page.customers.into_iter().map(|c| c.name));
                match page.next_cursor {
                    Some(next) => input["cursor"] = json!(next),
                    None => break,
                }
            }
            seen.sort();
            assert_eq!(seen, all);
        }
        for (input, field) in [
            (json!({"limit": 0}), "limit"),
            (json!({"cursor": "x"}), "cursor"),
            (json!({"query": " "}), "query"),
            (
                json!({"query": "a", "cursor": cursor::write(&Place::Named("a".to_owned(), Uuid::nil()))}),
                "cursor",
            ),
        ] {
            let failure = refusal(world.read::<FindCustomers>(input).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
    }

    #[tokio::test]
    async fn people_of_another_shop_are_not_found() {
        let mut world = shop().await;
        let neighbour = world.neighbour().await;
        world.stand_in(neighbour);
        assert_eq!(found(&world, json!({})).await.1, "There are no customers.");
        assert_eq!(
            found(&world, json!({"query": "ali"})).await.0,
            Vec::<String>::new()
        );
    }

    #[tokio::test]
    async fn a_slip_is_found_among_thousands_and_only_in_the_own_shop() {
        let mut world = World::new().await;
        let person = json!({"name": "Mukamana Grace"});
        world.write::<CreateCustomer>(person).await.unwrap();
        world
            .arrange(
                "insert into shop.customers (tenant_id, id, name, created_at)
                 select id, gen_random_uuid(), 'Person ' || n, now() from shop.tenants, generate_series(1, 2100) n",
            )
            .await;
        let slip = json!({"query": "mukamna", "limit": 3});
        let found = world.read::<FindCustomers>(slip.clone()).await.unwrap();
        assert_eq!(found.customers[0].name, "Mukamana Grace");
        let neighbour = world.neighbour().await;
        world.stand_in(neighbour);
        world
            .arrange(
                "insert into shop.customers (tenant_id, id, name, created_at)
                 select id, gen_random_uuid(), 'Other ' || n, now() from shop.tenants, generate_series(1, 2100) n",
            )
            .await;
        let next_door = world.read::<FindCustomers>(slip).await.unwrap();
        assert!(next_door.customers.is_empty(), "{:?}", next_door.customers);
    }
}
