//! Finding items by what a person calls them: name, alias in any language, sku or id; accents, case, plurals and small slips
//! forgiven. What could be two items is asked, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use contracts::failure::Candidate;
use contracts::quantity::Exact;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::likeness::{self, Choice, Folded, OFFERED_MAX, score, singulars};
use super::{Item, load};
use crate::error::CallError;
use crate::handler::Call;
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::inventory;

/// Up to this many names a shop's names are all compared here; beyond it Postgres narrows them down by trigrams first.
const NAMES_MAX: usize = 2_000;
/// How many names Postgres narrows them down to, per name asked for.
const NARROWED_TO: i32 = 50;
/// Most misspelt names of one call that are looked up by likeness; a call with more is better typed again.
const MISSPELT_MAX: usize = 20;

/// A name somebody used for an item, and the argument it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// What was typed.
    pub name: &'a str,
    /// The path of the argument: `lines[0].item`.
    pub field: &'a str,
}

/// One name of an item.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// The item.
    pub id: Uuid,
    /// Its name, or one of its aliases.
    pub name: String,
}

/// What a name led to.
#[derive(Debug, Clone)]
enum Found {
    One(Uuid),
    Several(Vec<(Uuid, u16)>),
    Nothing(Vec<(Uuid, u16)>),
}

/// The item a name means.
///
/// # Errors
/// `unknown_item` or `ambiguous_item` with candidates; `invalid_arguments` when the name is no name.
pub(crate) async fn find_one(call: &mut Call<'_>, asked: Asked<'_>) -> Result<Item, CallError> {
    find(call, &[asked])
        .await?
        .pop()
        .ok_or_else(|| CallError::Broken("an item was found and lost".to_owned()))
}

/// The id of the item a name means, for callers who lock it before they look at it.
///
/// # Errors
/// Those of [`find_one`].
pub(crate) async fn find_id(call: &mut Call<'_>, asked: Asked<'_>) -> Result<Uuid, CallError> {
    find_each(call, &[asked])
        .await?
        .pop()
        .ok_or_else(|| CallError::Broken("an item was found and lost".to_owned()))
}

/// The items these names mean, in their order. Two queries when every name is spelt right, three otherwise.
///
/// # Errors
/// Those of [`find_one`], for the first name that leads nowhere.
pub(crate) async fn find(call: &mut Call<'_>, asked: &[Asked<'_>]) -> Result<Vec<Item>, CallError> {
    let ids = find_each(call, asked).await?;
    let distinct: Vec<Uuid> = BTreeSet::from_iter(&ids).into_iter().copied().collect();
    let tenant = call.tenant();
    let items: BTreeMap<Uuid, Item> = load(call.conn, tenant, &distinct)
        .await?
        .into_iter()
        .map(|item| (item.id, item))
        .collect();
    ids.iter()
        .map(|id| {
            items
                .get(id)
                .cloned()
                .ok_or_else(|| CallError::Broken(format!("item {id} is gone")))
        })
        .collect()
}

/// The id each name means, in their order.
async fn find_each(call: &mut Call<'_>, asked: &[Asked<'_>]) -> Result<Vec<Uuid>, CallError> {
    let mut names = Vec::with_capacity(asked.len());
    for one in asked {
        names.push(typed::line(
            one.name,
            Thing::Item,
            one.field,
            NAME_CHARS_MAX,
            call.locale,
        )?);
    }
    let found = find_ids(call, &names).await?;
    refuse_first(call, asked, &names, &found).await?;
    Ok(found
        .iter()
        .filter_map(|f| match f {
            Found::One(id) => Some(*id),
            Found::Several(_) | Found::Nothing(_) => None,
        })
        .collect())
}

/// The refusal for the first name that does not lead to one item.
async fn refuse_first(
    call: &mut Call<'_>,
    asked: &[Asked<'_>],
    names: &[String],
    found: &[Found],
) -> Result<(), CallError> {
    for ((one, name), found) in asked.iter().zip(names).zip(found) {
        let failure = match found {
            Found::One(_) => continue,
            Found::Several(close) => inventory::ambiguous_item(
                call.locale,
                name,
                one.field,
                candidates(call, close).await?,
            ),
            Found::Nothing(close) => inventory::unknown_item(
                call.locale,
                name,
                one.field,
                candidates(call, close).await?,
            ),
        };
        return Err(failure.into());
    }
    Ok(())
}

async fn candidates(
    call: &mut Call<'_>,
    close: &[(Uuid, u16)],
) -> Result<Vec<Candidate>, CallError> {
    let ids: Vec<Uuid> = close.iter().take(OFFERED_MAX).map(|(id, _)| *id).collect();
    let tenant = call.tenant();
    let items = load(call.conn, tenant, &ids).await?;
    let tells_stock = call.caller.confined_to().is_none();
    Ok(items
        .iter()
        .map(|item| {
            let score = close.iter().find(|(id, _)| *id == item.id);
            let candidate = item.candidate(call.shop, call.locale);
            Candidate {
                stock: candidate.stock.filter(|_| tells_stock),
                // Two decimals are enough to compare.
                score: score.map(|(_, s)| Exact(Decimal::new(i64::from(*s / 10), 2).normalize())),
                ..candidate
            }
        })
        .collect())
}

async fn find_ids(call: &mut Call<'_>, names: &[String]) -> Result<Vec<Found>, CallError> {
    let tenant = call.tenant();
    let spelt = exactly(call.conn, tenant, names).await?;
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !spelt.contains_key(*name))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(MISSPELT_MAX)
        .collect();
    let alike = if missing.is_empty() {
        BTreeMap::new()
    } else {
        by_likeness(call.conn, tenant, &missing).await?
    };
    Ok(names
        .iter()
        .map(|name| {
            spelt
                .get(name)
                .or_else(|| alike.get(name))
                .cloned()
                .unwrap_or(Found::Nothing(Vec::new()))
        })
        .collect())
}

/// Names that are spelt right: as they are, or in the plural of a single word.
async fn exactly(
    conn: &mut PgConnection,
    tenant: Uuid,
    names: &[String],
) -> Result<BTreeMap<String, Found>, CallError> {
    let distinct: Vec<&String> = BTreeSet::from_iter(names).into_iter().collect();
    let (mut places, mut ranks, mut spellings, mut ids) = (vec![], vec![], vec![], vec![]);
    for (place, name) in distinct.iter().enumerate() {
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        for (rank, spelling) in spellings_of(name).into_iter().enumerate() {
            places.push(place);
            ranks.push(i32::from(rank > 0));
            spellings.push(spelling);
            ids.push(if rank == 0 {
                name.parse::<Uuid>().unwrap_or(Uuid::nil())
            } else {
                Uuid::nil()
            });
        }
    }
    let hits = select_exact(conn, tenant, &places, &ranks, &spellings, &ids).await?;
    let mut best: BTreeMap<i32, ((i32, i32), BTreeSet<Uuid>)> = BTreeMap::new();
    for hit in hits {
        let key = (hit.rank, hit.kind);
        let entry = best.entry(hit.place).or_insert((key, BTreeSet::new()));
        if key < entry.0 {
            *entry = (key, BTreeSet::new());
        }
        if key == entry.0 {
            entry.1.insert(hit.id);
        }
    }
    Ok(best
        .into_iter()
        .filter_map(|(place, (_, ids))| {
            let name = distinct.get(usize::try_from(place).ok()?)?;
            let same: Vec<(Uuid, u16)> = ids.into_iter().map(|id| (id, likeness::SAME)).collect();
            let found = match same.as_slice() {
                [(only, _)] => Found::One(*only),
                _ => Found::Several(same),
            };
            Some(((*name).clone(), found))
        })
        .collect())
}

/// The name itself first, then what a single word may be the plural of.
fn spellings_of(name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_owned()];
    if !name.contains(' ') {
        let word = name.to_lowercase();
        spellings.extend(singulars(&word).into_iter().filter(|s| *s != word));
    }
    spellings
}

async fn by_likeness(
    conn: &mut PgConnection,
    tenant: Uuid,
    missing: &[&String],
) -> Result<BTreeMap<String, Found>, CallError> {
    let texts: Vec<String> = missing.iter().map(|m| (*m).clone()).collect();
    let known = names_near(conn, tenant, &texts, NARROWED_TO).await?;
    let folded: Vec<(Uuid, Folded)> = known
        .iter()
        .map(|named| (named.id, Folded::new(&named.name)))
        .collect();
    Ok(missing
        .iter()
        .map(|name| ((*name).clone(), closest(name, &folded)))
        .collect())
}

/// Scores every item by its best name. Pure.
fn closest(name: &str, known: &[(Uuid, Folded)]) -> Found {
    let asked = Folded::new(name);
    let mut scores: BTreeMap<Uuid, u16> = BTreeMap::new();
    for (id, folded) in known {
        let likeness = score(&asked, folded);
        let best = scores.entry(*id).or_default();
        *best = likeness.max(*best);
    }
    let (ids, scores): (Vec<Uuid>, Vec<u16>) = scores.into_iter().unzip();
    let with_scores =
        |chosen: Vec<usize>| chosen.into_iter().map(|i| (ids[i], scores[i])).collect();
    match likeness::choose(&scores) {
        Choice::One(i) => Found::One(ids[i]),
        Choice::Several(close) => Found::Several(with_scores(close)),
        Choice::None(close) => Found::Nothing(with_scores(close)),
    }
}

/// The names among which these could be found: every name and alias of the items on sale, or, where a shop has more than [`NAMES_MAX`],
/// the `most` that are most like each of `texts`.
///
/// # Errors
/// When the database fails.
pub(crate) async fn names_near(
    conn: &mut PgConnection,
    tenant: Uuid,
    texts: &[String],
    most: i32,
) -> Result<Vec<Named>, sqlx::Error> {
    let few = i64::try_from(NAMES_MAX).unwrap_or(i64::MAX);
    let all = select_all_names(conn, tenant, few).await?;
    if all.is_empty() {
        return select_narrowed(conn, tenant, texts, most).await;
    }
    Ok(all)
}

/// Nothing when there are more than `most` items, or none.
async fn select_all_names(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"with few as materialized (
               select count(*) <= $2::bigint as few from (
                   select from shop.items i where i.tenant_id = $1 and i.archived_at is null limit $2::bigint + 1
               ) counted
           )
           select i.id as "id!", i.name as "name!" from shop.items i
           where i.tenant_id = $1 and i.archived_at is null and (select few from few)
           union all
           select a.item_id, a.name from shop.item_aliases a
           join shop.items i on i.tenant_id = $1 and i.id = a.item_id and i.archived_at is null
           where a.tenant_id = $1 and (select few from few)"#,
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

/// The names most like each of `texts` by trigrams, through the index.
async fn select_narrowed(
    conn: &mut PgConnection,
    tenant: Uuid,
    texts: &[String],
    most: i32,
) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"select close.id as "id!", close.name as "name!"
           from unnest($2::text[]) as asked (name)
           cross join lateral shop.names_alike($1, asked.name, $3) as close"#,
        tenant,
        texts,
        most
    )
    .fetch_all(conn)
    .await
}

struct Hit {
    place: i32,
    rank: i32,
    kind: i32,
    id: Uuid,
}

/// Kinds in the order of preference: name, alias, sku, id.
async fn select_exact(
    conn: &mut PgConnection,
    tenant: Uuid,
    places: &[i32],
    ranks: &[i32],
    spellings: &[String],
    ids: &[Uuid],
) -> Result<Vec<Hit>, sqlx::Error> {
    sqlx::query_as!(
        Hit,
        r#"select asked.place as "place!", asked.rank as "rank!", hit.kind as "kind!", hit.id as "id!"
           from unnest($2::int[], $3::int[], $4::text[], $5::uuid[]) as asked (place, rank, spelling, id)
           cross join lateral (
               select 0 as kind, i.id from shop.items i
               where i.tenant_id = $1 and i.archived_at is null and i.name_norm = shop.norm(asked.spelling)
               union all
               select 1, a.item_id from shop.item_aliases a
               join shop.items i on i.tenant_id = $1 and i.id = a.item_id and i.archived_at is null
               where a.tenant_id = $1 and a.name_norm = shop.norm(asked.spelling)
               union all
               select 2, i.id from shop.items i
               where i.tenant_id = $1 and i.archived_at is null and asked.rank = 0
                 and i.sku in (asked.spelling, upper(asked.spelling), lower(asked.spelling))
               union all
               select 3, i.id from shop.items i where i.tenant_id = $1 and i.archived_at is null and i.id = asked.id
           ) hit"#,
        tenant,
        places,
        ranks,
        spellings,
        ids
    )
    .fetch_all(conn)
    .await
}
