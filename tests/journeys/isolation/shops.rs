//! Two businesses with the same kinds of things, and two customers of one, each with everything a customer can have.

use std::collections::{BTreeMap, BTreeSet};

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use e2e::world::World;
use e2e::world::mcp::{Principal, asked, done, yes};
use migrations::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::arguments::{ITEM, Own, PERSON, QUESTION, SPARE_ITEM};

/// What a shop calls its things.
pub(super) struct Names {
    pub(super) items: [&'static str; 2],
    pub(super) sku: &'static str,
    pub(super) alias: &'static str,
    pub(super) resource: &'static str,
    pub(super) branches: [&'static str; 2],
    /// Name, telephone, email.
    pub(super) people: [(&'static str, &'static str, &'static str); 2],
}

/// The shop that looks.
pub(super) const OURS: Names = Names {
    items: ["Baguette", "Candle"],
    sku: "BG-L",
    alias: "Barra",
    resource: "Barber chair",
    branches: ["Harbour", "Market"],
    people: [
        ("Amina Kagabo", "+250788000001", "amina@example.com"),
        ("Bella Cyiza", "+250788000002", "bella@example.com"),
    ],
};

/// The shop that is looked for: none of its names is like one of [`OURS`].
pub(super) const THEIRS: Names = Names {
    items: ["Zyxwort", "Qovvijk"],
    sku: "ZQ-X",
    alias: "Vuxu",
    resource: "Xylovox",
    branches: ["Qyzzo", "Wuvvy"],
    people: [
        ("Zovuq Jyxek", "+250788999901", "zovuq@theirs.example"),
        ("Xuqoj Vyzwy", "+250788999902", "xuqoj@theirs.example"),
    ],
};

/// A day to come, as arguments name it.
pub(super) fn in_days(days: i64) -> String {
    let day = SystemClock.now() + chrono::TimeDelta::days(days);
    day.date_naive().to_string()
}

/// What a shop or a customer has: how its owner names it, and every answer that told of it.
pub(super) struct Furnished {
    pub(super) own: Own,
    /// The token of a question that is open.
    pub(super) token: String,
    /// Ids, by what stands for them in arguments.
    pub(super) ids: BTreeMap<&'static str, String>,
    pub(super) answers: Vec<Value>,
}

/// Makes another business.
pub(super) async fn found(world: &World, tenant: TenantId, name: &str) {
    sqlx::query("insert into shop.tenants (id, name, currency, country, created_at) values ($1, $2, 'RWF', 'RW', now())")
        .bind(tenant.0)
        .bind(name)
        .execute(&world.db)
        .await
        .expect("another business");
}

/// Lets a business count on from far away, so that its numbers are nobody else's.
pub(super) async fn count_from(world: &World, tenant: TenantId, last: i64) {
    sqlx::query(
        "insert into shop.counters (tenant_id, series, last)
         select $1, series, $2 from unnest('{INV,CN,PAY,BK,T}'::text[]) as series
         on conflict (tenant_id, series) do update set last = excluded.last",
    )
    .bind(tenant.0)
    .bind(last)
    .execute(&world.db)
    .await
    .expect("counters");
}

/// Calls a tool, says yes to its question, and returns what came of it.
pub(super) async fn does(world: &World, who: &Principal, tool: &str, arguments: Value) -> Value {
    let client = world.client_of(&who.clone().answering());
    let first = client.call(tool, &arguments).await;
    if first["resultType"] != "input_required" {
        return done(&first);
    }
    done(&client.retry(tool, &arguments, &asked(&first), yes()).await)
}

/// Goods, something to book, branches.
pub(super) async fn goods(world: &World, owner: &Principal, names: &Names) -> Vec<Value> {
    let [item, spare] = names.items;
    let always = json!({"resource": names.resource, "opens": "00:00", "closes": "24:00",
        "weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]});
    let mut answers = Vec::new();
    for (tool, arguments) in [
        (
            "inventory_add_item",
            json!({"name": item, "category": "grocery", "unit_price": "100", "quantity": "900", "sku": names.sku,
                   "low_stock_level": "5", "aliases": [{"name": names.alias, "locale": "es"}]}),
        ),
        (
            "inventory_add_item",
            json!({"name": spare, "category": "grocery", "unit_price": "70", "quantity": "40"}),
        ),
        (
            "booking_set_resource",
            json!({"name": names.resource, "capacity": 200, "max_ahead_days": 365, "price": "3000"}),
        ),
        ("booking_set_hours", always),
    ] {
        answers.push(does(world, owner, tool, arguments).await);
    }
    for branch in names.branches {
        sqlx::query(
            "insert into shop.locations (tenant_id, id, name, address, latitude, longitude, created_at)
             values ($1, gen_random_uuid(), $2, $2 || ' Road 1', -1.95, 30.11, now())",
        )
        .bind(owner.tenant.0)
        .bind(branch)
        .execute(&world.db)
        .await
        .expect("a branch");
    }
    answers
}

/// A customer with everything a customer can have: bills open and paid in part, a wallet, a booking on that day, a ticket with a note.
pub(super) async fn person(
    world: &World,
    owner: &Principal,
    names: &Names,
    which: usize,
    day: &str,
) -> Furnished {
    let (name, phone, email) = names.people[which];
    let step = async |tool: &str, arguments: Value| does(world, owner, tool, arguments).await;
    let mut answers = vec![
        step(
            "create_customer",
            json!({"name": name, "phone": phone, "email": email, "notes": format!("About {name}")}),
        )
        .await,
    ];
    let person_id = text(&answers[0]["customer"]["customer_id"]);
    let (bills, payment) = bills(world, owner, names, name, &mut answers).await;
    let booking = json!({"resource": names.resource, "customer": name, "date": day, "time": "10:00", "notes": format!("For {name}")});
    let booked = step("create_booking", booking).await;
    let opened = step(
        "create_ticket",
        json!({"subject": format!("Wish of {name}"), "customer": name}),
    )
    .await;
    let ticket = text(&opened["ticket"]["number"]);
    let note = json!({"ticket": ticket, "note": format!("Called {name}"), "assignee": format!("Friend of {name}")});
    answers.push(step("update_ticket", note).await);
    answers.push(
        step(
            "update_preferences",
            json!({"customer": name, "favourites": {"add": [names.items[0]]}}),
        )
        .await,
    );
    let own = Own {
        bill: bills[0].clone(),
        unpaid_bill: bills[1].clone(),
        paid_bill: bills[2].clone(),
        payment,
        booking: text(&booked["reference"]),
        ticket,
        resource: names.resource.to_owned(),
        branch: names.branches[0].to_owned(),
        day: in_days(9),
        next_day: in_days(10),
    };
    answers.extend([booked, opened]);
    Furnished {
        own,
        token: String::new(),
        ids: BTreeMap::from([
            (ITEM, item_id(world, owner, names.items[0]).await),
            (SPARE_ITEM, item_id(world, owner, names.items[1]).await),
            (PERSON, person_id),
        ]),
        answers,
    }
}

/// Three bills, the last of them paid in part, and money in the wallet; the bills' numbers and the payment's.
async fn bills(
    world: &World,
    owner: &Principal,
    names: &Names,
    name: &str,
    answers: &mut Vec<Value>,
) -> (Vec<String>, String) {
    let lines = |quantity: &str| json!([{"item": names.items[0], "quantity": quantity}]);
    let step = async |tool: &str, arguments: Value| does(world, owner, tool, arguments).await;
    let mut bills = Vec::new();
    for (quantity, paid) in [("5", None), ("3", None), ("2", Some("100"))] {
        let mut bill = json!({"customer": name, "lines": lines(quantity)});
        if let Some(amount) = paid {
            bill["payment"] = json!({"method": "cash", "amount": amount});
        }
        let issued = step("billing_create_bill", bill).await;
        bills.push(text(&issued["number"]));
        answers.push(issued);
    }
    let part = json!({"bill": bills[2], "amount": "40", "method": "cash"});
    let collected = step("collect_payment", part).await;
    let payment = text(&collected["payment"]["reference"]);
    answers.push(collected);
    answers.push(
        step(
            "top_up_wallet",
            json!({"customer": name, "amount": "5000", "method": "cash"}),
        )
        .await,
    );
    (bills, payment)
}

async fn item_id(world: &World, owner: &Principal, name: &str) -> String {
    let found = does(world, owner, "inventory_get_item", json!({"item": name})).await;
    text(&found["item"]["id"])
}

impl Furnished {
    /// Asks something that stays open.
    pub(super) async fn asks(
        &mut self,
        world: &World,
        who: &Principal,
        tool: &str,
        arguments: Value,
    ) {
        let result = world.client_of(who).call(tool, &arguments).await;
        self.token = asked(&result);
        let id = text(&result["_meta"]["countersign/confirmation"]["id"]);
        self.ids.insert(QUESTION, id);
    }
}

/// A business with everything a business can have.
pub(super) async fn shop(world: &World, owner: &Principal, names: &Names) -> Furnished {
    let mut answers = goods(world, owner, names).await;
    let mut furnished = person(world, owner, names, 0, &in_days(5)).await;
    let second = person(world, owner, names, 1, &in_days(6)).await;
    let counter = json!({"lines": [{"item": names.items[0], "quantity": "1"}], "payment": {"method": "cash"}});
    answers.push(does(world, owner, "billing_create_bill", counter).await);
    furnished.answers.extend(answers);
    furnished.answers.extend(second.answers);
    let remove = json!({"item": names.items[1]});
    furnished
        .asks(world, owner, "inventory_delete_item", remove)
        .await;
    furnished
}

/// The principal of a customer of this name.
pub(super) async fn customer(world: &World, tenant: TenantId, name: &str) -> Principal {
    let id: Uuid =
        sqlx::query_scalar("select id from shop.customers where tenant_id = $1 and name = $2")
            .bind(tenant.0)
            .bind(name)
            .fetch_one(&world.db)
            .await
            .expect(name);
    Principal {
        subject: name.to_lowercase().replace(' ', "."),
        role: PrincipalRole::Customer,
        customer: Some(id),
        ..Principal::owner(tenant)
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text: {value}"))
        .to_owned()
}

/// What names things in answers, by the member it stands in. Sentences, dates and amounts name nothing.
pub(super) fn names_in(answers: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for answer in answers {
        collect("", answer, &mut found);
    }
    found
}

fn collect(member: &str, value: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    const SAYINGS: [&str; 6] = ["summary", "text", "when", "hint", "message", "state"];
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(name, inner)| collect(name, inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| collect(member, inner, found)),
        Value::String(text) if !SAYINGS.contains(&member) && names_something(text) => {
            found
                .entry(member.to_owned())
                .or_default()
                .insert(text.clone());
        }
        _ => {}
    }
}

/// Not a day, a time, a number or a word of a list.
fn names_something(text: &str) -> bool {
    let is_plain_word = text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_moment = text
        .chars()
        .all(|c| c.is_ascii_digit() || ":-+.TZ ".contains(c));
    let is_number = text.parse::<f64>().is_ok();
    text.len() >= 3 && !is_plain_word && !is_moment && !is_number
}

/// A digest of every row of one business, by table: every table with a `tenant_id`, whichever there are.
pub(super) async fn rows_of_tenant(world: &World, tenant: TenantId) -> BTreeMap<String, String> {
    let tables = "select c.table_schema || '.' || c.table_name, c.column_name || ' = ' || quote_literal($1::text)
                  from information_schema.columns c
                  join information_schema.tables t using (table_schema, table_name)
                  where c.table_schema in ('shop', 'agent') and t.table_type = 'BASE TABLE'
                    and (c.column_name = 'tenant_id' or (c.table_schema, c.table_name, c.column_name) = ('shop', 'tenants', 'id'))";
    digests(world, tables, &tenant.0.to_string()).await
}

/// A digest of every row that is a customer's: what names her, and what belongs to that (the lines of her bills, the notes of her tickets).
pub(super) async fn rows_of_customer(world: &World, customer: Uuid) -> BTreeMap<String, String> {
    let tables = "with hers as (
                      select format('%I.%I', table_schema, table_name) as name, 'customer_id = ' || quote_literal($1::text) as those
                      from information_schema.columns where table_schema = 'shop' and column_name = 'customer_id'
                      union all select 'shop.customers', 'id = ' || quote_literal($1::text))
                  select name, those from hers
                  union all
                  select format('%s', k.conrelid::regclass), format('(%s) in (select %s from %s where %s)',
                         (select string_agg(quote_ident(a.attname), ', ' order by u.n) from unnest(k.conkey) with ordinality as u (c, n)
                          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.c),
                         (select string_agg(quote_ident(a.attname), ', ' order by u.n) from unnest(k.confkey) with ordinality as u (c, n)
                          join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.c),
                         k.confrelid::regclass, hers.those)
                  from pg_constraint k join hers on k.contype = 'f' and k.confrelid = hers.name::regclass
                  where k.conrelid <> k.confrelid and not exists (select from hers h where h.name::regclass = k.conrelid)";
    digests(world, tables, &customer.to_string()).await
}

async fn digests(world: &World, tables: &'static str, id: &str) -> BTreeMap<String, String> {
    let tables: Vec<(String, String)> = sqlx::query_as(tables)
        .bind(id)
        .fetch_all(&world.db)
        .await
        .expect("tables");
    assert!(tables.len() >= 5, "{tables:?}");
    let each: Vec<String> = tables
        .iter()
        .map(|(table, those)| {
            format!(
                "select '{table}', md5(string_agg(md5(t::text), '' order by md5(t::text))) from {table} t where {those} having count(*) > 0"
            )
        })
        .collect();
    let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(each.join(" union all ")))
        .fetch_all(&world.db)
        .await
        .expect("digests");
    let mut found = BTreeMap::new();
    for (table, digest) in rows {
        found
            .entry(table)
            .or_insert_with(String::new)
            .push_str(&digest);
    }
    found
}
