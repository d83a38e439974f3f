//! Stock is the sum of its movements, and every sale has its movement.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 5,
        says: "on hand is the sum of the movements, and not below zero unless allowed",
        broken: "select count(*) from shop.stock_levels l
     where l.on_hand <> (select coalesce(sum(m.delta), 0) from shop.stock_movements m
                         where m.tenant_id = l.tenant_id and m.item_id = l.item_id)
        or l.seq <> (select count(*) from shop.stock_movements m where m.tenant_id = l.tenant_id and m.item_id = l.item_id)
        or (l.on_hand < 0 and not l.allow_negative)",
    },
    Invariant {
        number: 5,
        says: "movements are numbered without a gap and carry the running balance",
        broken: "select count(*) from (
         select m.seq, m.balance_after,
                row_number() over w as place, sum(m.delta) over w as running
         from shop.stock_movements m window w as (partition by m.tenant_id, m.item_id order by m.seq)
     ) m where m.seq <> m.place or m.balance_after <> m.running",
    },
    Invariant {
        number: 9,
        says: "every line has its sale, every line of a void bill or of a credit note that takes goods back its return, and nothing else moves for a bill",
        broken: "select count(*) from (select 1 from (
         select l.tenant_id, l.bill_id, l.item_id, case b.kind when 'invoice' then 'sale' else 'return' end as reason,
                case b.kind when 'invoice' then -l.quantity else l.quantity end as delta, 1 as n
         from shop.bill_lines l join shop.bills b on b.tenant_id = l.tenant_id and b.id = l.bill_id
         where b.kind = 'invoice' or b.goods_returned
         union all
         select l.tenant_id, l.bill_id, l.item_id, 'void', l.quantity, 1 from shop.bill_lines l
         join shop.bills b on b.tenant_id = l.tenant_id and b.id = l.bill_id and b.status = 'void'
         union all
         select m.tenant_id, m.bill_id, m.item_id, m.reason, m.delta, -1 from shop.stock_movements m where m.bill_id is not null
     ) x group by tenant_id, bill_id, item_id, reason, delta having sum(n) <> 0) broken",
    },
    Invariant {
        number: 5,
        says: "a level knows from where on its item runs low",
        broken: "select count(*) from shop.stock_levels l join shop.items i on i.tenant_id = l.tenant_id and i.id = l.item_id
         where l.low_at is distinct from i.low_stock_level",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::AddItem;
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    /// Ways to break each rule, by its place in the list. Some also break others, which is fine.
    const BREAKS: &[(usize, &str)] = &[
        (0, "update shop.stock_levels set on_hand = on_hand + 1"),
        (0, "update shop.stock_levels set seq = seq + 1"),
        (
            1,
            "update shop.stock_movements set balance_after = balance_after + 1 where seq = 2",
        ),
        (1, "update shop.stock_movements set seq = 7 where seq = 2"),
        (
            2,
            "update shop.stock_movements set bill_id = null where bill_id is not null",
        ),
        (2, "update shop.bills set status = 'void', paid = 0"),
        (
            2,
            "update shop.stock_movements set delta = delta - 1 where reason = 'sale'",
        ),
        (3, "update shop.items set low_stock_level = 7"),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"lines": [{"item": "sugar", "quantity": "2"}], "payment": {"method": "cash", "amount": "20"}});
        world.agree::<CreateBill>(bill).await.unwrap();
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
