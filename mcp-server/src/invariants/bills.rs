//! Bills recompute from their lines, are numbered without a gap, and know what was paid.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 6,
        says: "totals recompute from the lines",
        broken: "select count(*) from shop.bills b
     join lateral (select coalesce(sum(l.gross), 0) as gross, coalesce(sum(l.discount), 0) as discount, coalesce(sum(l.tax), 0) as tax,
                          count(*) as lines
                   from shop.bill_lines l where l.tenant_id = b.tenant_id and l.bill_id = b.id) l on true
     where b.subtotal <> l.gross or b.discount <> l.discount or b.tax <> l.tax or l.lines = 0
        or b.total <> l.gross - l.discount + case when b.tax_inclusive then 0 else l.tax end",
    },
    Invariant {
        number: 6,
        says: "every line is quantity times price, rounded once, with its own tax",
        broken: "select count(*) from shop.bill_lines l join shop.bills b on b.tenant_id = l.tenant_id and b.id = l.bill_id
     where l.gross <> round(l.quantity * l.unit_price)
        or l.tax <> round((l.gross - l.discount)::numeric * l.tax_bp / case when b.tax_inclusive then 10000 + l.tax_bp else 10000 end)",
    },
    Invariant {
        number: 7,
        says: "numbers are unique, without a gap, and the counter is the last",
        broken: "select count(*) from (
         select b.tenant_id, b.series, count(*) as bills, max(b.number) as last, count(distinct b.number) as numbers
         from shop.bills b group by b.tenant_id, b.series
     ) b full join shop.counters c on c.tenant_id = b.tenant_id and c.series = b.series
     where (c.series is null or c.series in ('INV', 'CN'))
       and (b.bills is distinct from b.last or b.numbers is distinct from b.bills or c.last is distinct from b.last)",
    },
    Invariant {
        number: 8,
        says: "paid is the sum of the payments, and says paid exactly when it covers the total",
        broken: "select count(*) from shop.bills b
     where b.paid <> (select coalesce(sum(p.amount), 0) from shop.payments p where p.tenant_id = b.tenant_id and p.bill_id = b.id)
        or (b.status = 'paid') <> (b.paid = b.total and b.status not in ('void', 'uncollectible'))",
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
        (
            0,
            "update shop.bills set subtotal = subtotal + 1, total = total + 1",
        ),
        (0, "update shop.bills set tax = tax + 1"),
        (1, "update shop.bill_lines set tax = tax + 1"),
        (2, "update shop.bills set number = number + 1"),
        (2, "update shop.counters set last = last + 1"),
        (3, "update shop.bills set paid = paid + 1"),
        (3, "delete from shop.payments"),
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
