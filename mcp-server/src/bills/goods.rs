//! Goods of a bill that go back to stock.

use std::collections::BTreeSet;

use contracts::quantity::{Exact, Measure};
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Call;
use crate::stock::{self, Movement, Occasion, Reason};

/// Goods that come back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Back {
    /// The item.
    pub item_id: Uuid,
    /// In the item's unit. Above 0.
    pub quantity: Exact,
    /// As it was entered.
    pub entered: Measure,
}

/// Puts goods back into stock: the levels are locked in the order of their ids, then moved.
///
/// # Errors
/// When a level would not fit its column, or the database fails.
pub(crate) async fn put_back(
    call: &mut Call<'_>,
    bill_id: Uuid,
    reason: Reason,
    goods: &[Back],
) -> Result<(), CallError> {
    let tenant = call.tenant();
    let ids: BTreeSet<Uuid> = goods.iter().map(|back| back.item_id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut on_hand = stock::lock(call.conn, tenant, &ids).await?;
    for back in goods {
        if let Some(level) = on_hand.get_mut(&back.item_id) {
            stock::fits(level.on_hand, back.quantity.0, "bill", call.locale)?;
            level.on_hand = Exact(level.on_hand.0 + back.quantity.0);
        }
    }
    let movements: Vec<Movement> = goods
        .iter()
        .map(|back| Movement {
            item_id: back.item_id,
            delta: back.quantity.0,
            entered_quantity: back.entered.quantity.0,
            entered_unit: back.entered.unit.clone(),
        })
        .collect();
    let occasion = Occasion {
        reason,
        bill_id: Some(bill_id),
        actor: &call.caller.subject,
        at: call.now,
    };
    stock::apply(call.conn, tenant, occasion, &movements, call.locale).await
}
