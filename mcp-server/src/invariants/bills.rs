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
     ) b full join (select * from shop.counters where series in ('INV', 'CN')) c on c.tenant_id = b.tenant_id and c.series = b.series
     where b.bills is distinct from b.last or b.numbers is distinct from b.bills or c.last is distinct from b.last",
    },
    Invariant {
        number: 8,
        says: "paid is what payments brought less what refunds took, and it is paid exactly when nothing is owed",
        broken: "select count(*) from shop.bills b
     where b.paid <> (select coalesce(sum(case p.direction when 'refund' then -a.amount else a.amount end), 0)
                      from shop.payment_allocations a join shop.payments p on p.tenant_id = a.tenant_id and p.id = a.payment_id
                      where a.tenant_id = b.tenant_id and a.bill_id = b.id)
        or (b.kind = 'invoice' and (b.status = 'paid') <> (b.paid + b.credited = b.total and b.status not in ('void', 'uncollectible')))",
    },
    Invariant {
        number: 8,
        says: "credited is what credit notes and refunds credited, and never more than the total",
        broken: "select count(*) from shop.bills b
     where b.paid + b.credited > b.total
        or b.credited <> (select coalesce(sum(n.total), 0) from shop.bills n where n.tenant_id = b.tenant_id and n.credits_bill = b.id)
                       + (select coalesce(sum(a.amount), 0) from shop.payment_allocations a
                          join shop.payments p on p.tenant_id = a.tenant_id and p.id = a.payment_id
                          where a.tenant_id = b.tenant_id and a.bill_id = b.id and p.direction = 'refund' and p.credit_note_id is null)",
    },
    Invariant {
        number: 9,
        says: "no line is credited beyond what was billed, and every line of a credit note credits one",
        broken: "select count(*) from (
         select 1 from shop.bills n
         join shop.bill_lines c on c.tenant_id = n.tenant_id and c.bill_id = n.id
         left join shop.bill_lines l on l.tenant_id = n.tenant_id and l.bill_id = n.credits_bill and l.line_no = c.credits_line
                   and l.item_id = c.item_id
         where n.kind = 'credit_note'
         group by n.tenant_id, n.credits_bill, c.credits_line having sum(c.quantity) > max(l.quantity) or count(l.line_no) <> count(*)) broken",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::billing::{CreateBill, CreditBill};
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
        (3, "update shop.bills set paid = paid + 1 where status = 'open'"),
        (3, "delete from shop.payment_allocations"),
        (4, "update shop.bills set credited = credited + 1 where status = 'open'"),
        (5, "update shop.bill_lines set credits_line = 9 where credits_line = 1"),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"lines": [{"item": "sugar", "quantity": "2"}], "payment": {"method": "cash", "amount": "20"}});
        world.agree::<CreateBill>(bill).await.unwrap();
        let note = json!({"bill": "1", "lines": [{"item": "sugar", "quantity": "1"}]});
        world.agree::<CreditBill>(note).await.unwrap();
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
