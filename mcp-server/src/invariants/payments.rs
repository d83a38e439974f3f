//! Payments, what they paid, and what they moved in the ledger agree.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 4,
        says: "a payment's pending transfer stands open exactly while the payment does",
        broken: "select count(*) from shop.payments p
     where p.provider is not null
       and coalesce((select r.state from shop.ledger_transfers r where r.tenant_id = p.tenant_id and r.pending_id = p.transfer_id), 'open')
           <> all (case p.status when 'pending' then array['open'] when 'unknown' then array['open']
                                 when 'failed' then array['void_pending'] when 'expired' then array['expire_pending']
                                 else array['post_pending', 'void_pending', 'expire_pending'] end)
        or p.provider is not null and not exists
           (select from shop.ledger_transfers t where t.tenant_id = p.tenant_id and t.id = p.transfer_id and t.state = 'pending'
               and t.amount = p.amount and t.payment_id = p.id)",
    },
    Invariant {
        number: 9,
        says: "a payment that succeeded moved exactly its amount, in or out, and no other moved anything",
        broken: "select count(*) from shop.payments p
     cross join lateral (
         select coalesce(sum(case when d.code = m.code then t.amount else 0 end - case when c.code = m.code then t.amount else 0 end), 0) as moved
         from (select case p.method when 'cash' then 'cash' when 'wallet' then 'wallet' else 'clearing:' || p.provider end as code) m
         join shop.ledger_transfers t on t.tenant_id = p.tenant_id and t.payment_id = p.id and t.state in ('posted', 'post_pending')
         join shop.ledger_accounts d on d.tenant_id = t.tenant_id and d.id = t.debit_account
         join shop.ledger_accounts c on c.tenant_id = t.tenant_id and c.id = t.credit_account) l
     where l.moved <> case when p.status <> 'succeeded' then 0
                           when (p.direction = 'refund') <> (p.method = 'wallet') then -p.amount else p.amount end",
    },
    Invariant {
        number: 8,
        says: "a payment is never spread over more than its amount, nor one that has not succeeded over anything",
        broken: "select count(*) from shop.payments p
     cross join lateral (select coalesce(sum(a.amount), 0) as spread from shop.payment_allocations a
                         where a.tenant_id = p.tenant_id and a.payment_id = p.id) a
     where a.spread > p.amount or (p.direction = 'top_up' and a.spread > 0)
        or (p.direction = 'collect' and p.status <> 'succeeded' and a.spread > 0)",
    },
    Invariant {
        number: 8,
        says: "what is given back of a payment is the sum of its refunds, and at most what came in",
        broken: "select count(*) from shop.payments p
     where p.refunded <> (select coalesce(sum(r.amount), 0) from shop.payments r where r.tenant_id = p.tenant_id and r.refunds = p.id)
        or p.refunded > p.amount or (p.refunded > 0 and p.status <> 'succeeded')",
    },
    Invariant {
        number: 7,
        says: "payments are numbered without a gap",
        broken: "select count(*) from (
         select p.tenant_id, count(*) as payments, max(p.number) as last, count(distinct p.number) as numbers
         from shop.payments p group by p.tenant_id
     ) p full join (select * from shop.counters where series = 'PAY') c on c.tenant_id = p.tenant_id
     where p.payments is distinct from p.last or p.numbers is distinct from p.payments or c.last is distinct from p.last",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::AddItem;
    use contracts::tools::payment::{CollectPayment, PaymentMethod, RefundPayment};
    use serde_json::json;

    use super::*;
    use crate::ledger::Desk;
    use crate::payments::{self, Direction, NewPayment, Provider};
    use crate::testing::World;

    /// Ways to break each rule, by its place in the list. Some also break others, which is fine.
    const BREAKS: &[(usize, &str)] = &[
        (
            0,
            "update shop.payments set status = 'failed' where status = 'pending'",
        ),
        (
            0,
            "update shop.payments set amount = amount + 1 where provider is not null",
        ),
        (1, "update shop.payments set amount = amount + 1"),
        (
            1,
            "update shop.ledger_transfers set payment_id = null where payment_id is not null",
        ),
        (2, "update shop.payment_allocations set amount = amount + 1000"),
        (
            2,
            "update shop.payments set status = 'failed', settled_at = null, provider = 'momo', method = 'mobile_money' where direction = 'collect'",
        ),
        (3, "update shop.payments set refunded = refunded + 1 where direction = 'collect'"),
        (4, "update shop.payments set number = number + 100"),
        (4, "update shop.counters set last = last + 1"),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}]});
        world.agree::<CreateBill>(bill).await.unwrap();
        let all = json!({"customer": "Ali", "amount": "1000", "method": "cash"});
        world.agree::<CollectPayment>(all).await.unwrap();
        let back = json!({"payment": "PAY-1", "amount": "10"});
        world.agree::<RefundPayment>(back).await.unwrap();
        let mut transaction = world.begin().await;
        let call = world.call(&mut transaction);
        let desk = Desk::of(&call);
        let (direction, method) = (Direction::Collect, PaymentMethod::MobileMoney);
        let mut new =
            NewPayment::incoming(desk.new_id(), direction, method, Some(Provider::Momo), 100);
        new.bill_id = Some(world.newest_bill().await);
        payments::begin(call.conn, desk, &new).await.unwrap();
        transaction.commit().await.unwrap();
        world.check_invariants().await;
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
