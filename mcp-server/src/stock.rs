//! Stock: append-only movements and one level row per item, changed in one statement.
//!
//! Whoever changes stock first locks the levels it touches, in the order of the items' ids, checks, and then moves. Two bills that share
//! items therefore wait for one another and never deadlock, and too little stock is found before anything is written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::quantity::Exact;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::{Entered, Item};
use crate::error::CallError;
use crate::words::arguments::{self, Thing};
use crate::words::inventory;

/// Why stock changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// What was there when the item was added.
    Opening,
    /// Goods came in.
    Purchase,
    /// Sold with a bill.
    Sale,
    /// A customer brought something back.
    Return,
    /// Counted on the shelf.
    Count,
    /// Spoilt, broken or lost.
    Waste,
    /// A bill was voided.
    Void,
}

impl Reason {
    /// The word stored and shown.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Reason::Opening => "opening",
            Reason::Purchase => "purchase",
            Reason::Sale => "sale",
            Reason::Return => "return",
            Reason::Count => "count",
            Reason::Waste => "waste",
            Reason::Void => "void",
        }
    }
}

/// One change of one item's stock.
#[derive(Debug, Clone)]
pub(crate) struct Movement {
    /// The item.
    pub item_id: Uuid,
    /// What comes in, or (negative) goes out, in the item's unit. Not 0.
    pub delta: Decimal,
    /// The quantity as it was entered.
    pub entered_quantity: Decimal,
    /// Its unit.
    pub entered_unit: String,
}

impl Movement {
    /// Goods going out as they were entered.
    #[must_use]
    pub(crate) fn out(item_id: Uuid, entered: &Entered) -> Movement {
        Movement {
            item_id,
            delta: -entered.quantity.0,
            entered_quantity: entered.entered.quantity.0,
            entered_unit: entered.entered.unit.clone(),
        }
    }
}

/// What all movements of one effect share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    /// Why.
    pub reason: Reason,
    /// The bill, for a sale or a void.
    pub bill_id: Option<Uuid>,
    /// Who.
    pub actor: &'a str,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is on hand of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// In the item's unit.
    pub on_hand: Exact,
    /// Whether it may go below zero.
    pub allow_negative: bool,
}

/// More than any shelf holds, in whole units: `numeric(20,6)` ends here.
const ON_HAND_END: i64 = 100_000_000_000_000;

/// Locks the levels of these items until the commit, in the order of their ids, and says what is on hand.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_ids: &[Uuid],
) -> Result<BTreeMap<Uuid, Level>, CallError> {
    Ok(select_levels_for_update(conn, tenant, item_ids)
        .await?
        .into_iter()
        .map(|row| {
            let level = Level {
                on_hand: Exact(row.on_hand.normalize()),
                allow_negative: row.allow_negative,
            };
            (row.item_id, level)
        })
        .collect())
}

/// Goods that are to go out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The item.
    pub item: &'a Item,
    /// How much, as it was entered and in the item's unit. Above 0.
    pub entered: &'a Entered,
    /// What is on hand.
    pub level: Level,
    /// The argument the quantity came in: `lines[0].quantity`.
    pub field: &'a str,
}

/// The first of these that can no longer be had once those before it are taken: lines of one item count together. Pure.
#[must_use]
pub(crate) fn shortage<'a, 'b>(wanted: &'b [Wanted<'a>]) -> Option<&'b Wanted<'a>> {
    let mut taken: BTreeMap<Uuid, Decimal> = BTreeMap::new();
    wanted.iter().find(|one| {
        let sum = taken.entry(one.item.id).or_default();
        *sum += one.entered.quantity.0;
        !one.level.allow_negative && *sum > one.level.on_hand.0
    })
}

/// The refusal for a [`shortage`]: what is left, in the unit that was asked for.
#[must_use]
pub(crate) fn insufficient(
    locale: Locale,
    short: &Wanted<'_>,
    purpose: inventory::Purpose,
) -> ToolFailure {
    let left = Exact(short.level.on_hand.0.max(Decimal::ZERO));
    let left = short
        .item
        .counting()
        .said_in(left, &short.entered.entered.unit);
    inventory::insufficient_stock(locale, &short.item.name, left, short.field, purpose)
}

/// Whether what is on hand still fits its column after a change.
///
/// # Errors
/// `invalid_arguments` at `field`.
pub(crate) fn fits(
    on_hand: Exact,
    delta: Decimal,
    field: &str,
    locale: Locale,
) -> Result<(), ToolFailure> {
    match on_hand.0.checked_add(delta) {
        Some(after) if after.abs() < Decimal::from(ON_HAND_END) => Ok(()),
        _ => Err(arguments::too_large(locale, Thing::Quantity, field)),
    }
}

/// Changes the levels and writes a movement each, in one statement. The levels must be locked ([`lock`]) and checked.
///
/// # Errors
/// When the database fails. A level that would go below zero after all is refused by its constraint, by name.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    tenant: Uuid,
    occasion: Occasion<'_>,
    movements: &[Movement],
    locale: Locale,
) -> Result<(), CallError> {
    let written = move_stock(conn, tenant, occasion, movements)
        .await
        .map_err(|error| {
            let error = CallError::from(error);
            if error.constraint() == Some("stock_not_negative") {
                CallError::Refused(inventory::stock_changed(locale))
            } else {
                error
            }
        })?;
    if written != movements.len() as u64 {
        return Err(CallError::Broken(format!(
            "{written} of {} movements were written",
            movements.len()
        )));
    }
    Ok(())
}

/// Gives a new item its level row, which knows from where on the item runs low.
///
/// # Errors
/// When the database fails.
pub(crate) async fn open_level(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    may_go_below_zero: bool,
    low_at: Option<Decimal>,
) -> Result<(), CallError> {
    sqlx::query!(
        "insert into shop.stock_levels (tenant_id, item_id, allow_negative, low_at) values ($1, $2, $3, $4)",
        tenant,
        item_id,
        may_go_below_zero,
        low_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct LevelRow {
    item_id: Uuid,
    on_hand: Decimal,
    allow_negative: bool,
}

/// `no key update` does not block the foreign key checks of others.
async fn select_levels_for_update(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_ids: &[Uuid],
) -> Result<Vec<LevelRow>, sqlx::Error> {
    sqlx::query_as!(
        LevelRow,
        "select item_id, on_hand, allow_negative from shop.stock_levels
         where tenant_id = $1 and item_id = any($2)
         order by item_id
         for no key update",
        tenant,
        item_ids
    )
    .fetch_all(conn)
    .await
}

/// Several movements of one item get consecutive numbers and running balances, in the order given.
async fn move_stock(
    conn: &mut PgConnection,
    tenant: Uuid,
    occasion: Occasion<'_>,
    movements: &[Movement],
) -> Result<u64, sqlx::Error> {
    let item_ids: Vec<Uuid> = movements.iter().map(|m| m.item_id).collect();
    let deltas: Vec<Decimal> = movements.iter().map(|m| m.delta).collect();
    let quantities: Vec<Decimal> = movements.iter().map(|m| m.entered_quantity).collect();
    let units: Vec<String> = movements.iter().map(|m| m.entered_unit.clone()).collect();
    let done = sqlx::query!(
        "with step as (
             select s.item_id, s.delta, s.quantity, s.unit,
                    row_number() over w as nth, sum(s.delta) over w as running
             from unnest($2::uuid[], $3::numeric[], $4::numeric[], $5::text[]) with ordinality as s (item_id, delta, quantity, unit, place)
             window w as (partition by s.item_id order by s.place)
         ), total as (
             select item_id, sum(delta) as delta, count(*) as steps from step group by item_id
         ), moved as (
             update shop.stock_levels l set on_hand = l.on_hand + t.delta, seq = l.seq + t.steps
             from total t
             where l.tenant_id = $1 and l.item_id = t.item_id
             returning l.item_id, l.on_hand - t.delta as before, l.seq - t.steps as seq_before
         )
         insert into shop.stock_movements
             (tenant_id, item_id, seq, delta, balance_after, reason, entered_quantity, entered_unit, bill_id, actor, at)
         select $1, m.item_id, m.seq_before + s.nth, s.delta, m.before + s.running, $6, s.quantity, s.unit, $7, $8, $9
         from moved m join step s on s.item_id = m.item_id",
        tenant,
        &item_ids,
        &deltas,
        &quantities,
        &units,
        occasion.reason.word(),
        occasion.bill_id,
        occasion.actor,
        occasion.at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::inventory::AddItem;
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn the_last_wall_refuses_what_was_not_checked() {
        let world = World::new().await;
        let soap = json!({"name": "Soap", "unit_price": "300", "quantity": "2"});
        let soap = world.write::<AddItem>(soap).await.unwrap().item;
        let mut transaction = world.begin().await;
        let occasion = Occasion {
            reason: Reason::Waste,
            bill_id: None,
            actor: "amina",
            at: "2026-11-20T09:00:00Z".parse().unwrap(),
        };
        let three = Movement {
            item_id: soap.id,
            delta: Decimal::from(-3),
            entered_quantity: Decimal::from(-3),
            entered_unit: "each".to_owned(),
        };
        let tenant = world.shop.tenant.0;
        let done = apply(&mut transaction, tenant, occasion, &[three], Locale::En).await;
        let failure = refusal(done);
        assert_eq!(failure.code, FailureCode::InsufficientStock);
        assert_eq!(
            failure.message,
            "There is no longer enough in stock. Please try again."
        );
    }

    #[tokio::test]
    async fn movements_of_one_item_are_numbered_in_their_order() {
        let world = World::new().await;
        let soap = json!({"name": "Soap", "unit_price": "300", "quantity": "10"});
        let soap = world.write::<AddItem>(soap).await.unwrap().item;
        let mut transaction = world.begin().await;
        let occasion = Occasion {
            reason: Reason::Waste,
            bill_id: None,
            actor: "amina",
            at: "2026-11-20T09:00:00Z".parse().unwrap(),
        };
        let out = |quantity: i64| Movement {
            item_id: soap.id,
            delta: Decimal::from(-quantity),
            entered_quantity: Decimal::from(quantity),
            entered_unit: "each".to_owned(),
        };
        let tenant = world.shop.tenant.0;
        let steps = [out(4), out(1), out(3)];
        apply(&mut transaction, tenant, occasion, &steps, Locale::En)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        world.check_invariants().await;
        let balances = "select sum(balance_after * power(100, seq - 2))::bigint from shop.stock_movements where seq > 1";
        assert_eq!(world.number(balances).await, 20_506, "6, then 5, then 2");
    }
}
