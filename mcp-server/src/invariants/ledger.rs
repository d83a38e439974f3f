//! The ledger balances, its counters are the sums of its transfers, and it agrees with the bills.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 1,
        says: "debits equal credits in every tenant and currency, posted and pending",
        broken: "select count(*) from (
         select 1 from shop.ledger_accounts a group by a.tenant_id, a.currency
         having sum(a.debits_posted) <> sum(a.credits_posted) or sum(a.debits_pending) <> sum(a.credits_pending)) broken",
    },
    Invariant {
        number: 2,
        says: "an account's counters are the sums of its transfers",
        broken: "select count(*) from (
         select a.tenant_id, a.id, a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending from shop.ledger_accounts a
         except
         select a.tenant_id, a.id,
                coalesce(sum(t.amount) filter (where t.debit_account = a.id and t.state in ('posted', 'post_pending')), 0)::bigint,
                coalesce(sum(t.amount) filter (where t.credit_account = a.id and t.state in ('posted', 'post_pending')), 0)::bigint,
                coalesce(sum(t.amount * case t.state when 'pending' then 1 when 'posted' then 0 else -1 end)
                         filter (where t.debit_account = a.id), 0)::bigint,
                coalesce(sum(t.amount * case t.state when 'pending' then 1 when 'posted' then 0 else -1 end)
                         filter (where t.credit_account = a.id), 0)::bigint
         from shop.ledger_accounts a
         left join shop.ledger_transfers t on t.tenant_id = a.tenant_id and a.id in (t.debit_account, t.credit_account)
         group by a.tenant_id, a.id) broken",
    },
    Invariant {
        number: 3,
        says: "no wallet and nothing unclaimed is below zero, pending included; accounts are what they are named by",
        broken: "select count(*) from shop.ledger_accounts a
     where (a.code in ('wallet', 'unclaimed')) <> a.floored
        or a.floored and a.debits_posted + a.debits_pending > a.credits_posted
        or a.id <> shop.ledger_account_id(a.tenant_id, a.code, a.customer_id, a.currency)",
    },
    Invariant {
        number: 3,
        says: "a transfer moves something between two accounts of its own tenant and currency",
        broken: "select count(*) from shop.ledger_transfers t
     where t.amount <= 0 or t.debit_account = t.credit_account
        or (select count(*) from shop.ledger_accounts a
            where a.tenant_id = t.tenant_id and a.id in (t.debit_account, t.credit_account) and a.currency = t.currency) <> 2",
    },
    Invariant {
        number: 4,
        says: "a pending transfer is resolved at most once, whole, and as what it was",
        broken: "select count(*) from (
         select 1 from shop.ledger_transfers r
         left join shop.ledger_transfers p on p.tenant_id = r.tenant_id and p.id = r.pending_id and p.state = 'pending'
                   and p.amount = r.amount and p.debit_account = r.debit_account and p.credit_account = r.credit_account
         where r.pending_id is not null
         group by r.tenant_id, r.pending_id having count(*) > 1 or count(p.id) = 0) broken",
    },
    Invariant {
        number: 4,
        says: "a reversal takes back exactly one transfer, whole",
        broken: "select count(*) from (
         select 1 from shop.ledger_transfers r
         left join shop.ledger_transfers o on o.tenant_id = r.tenant_id and o.id = r.reverses
                   and o.amount = r.amount and o.debit_account = r.credit_account and o.credit_account = r.debit_account
         where r.reverses is not null
         group by r.tenant_id, r.reverses having count(*) > 1 or count(o.id) = 0) broken",
    },
    Invariant {
        number: 8,
        says: "what a bill says is owed is what its transfers say is owed",
        broken: "select count(*) from shop.bills b
     left join lateral (
         select sum(case when d.code = 'receivable' then t.amount else 0 end - case when c.code = 'receivable' then t.amount else 0 end) as owed
         from shop.ledger_transfers t
         join shop.ledger_accounts d on d.tenant_id = t.tenant_id and d.id = t.debit_account
         join shop.ledger_accounts c on c.tenant_id = t.tenant_id and c.id = t.credit_account
         where t.tenant_id = b.tenant_id and t.bill_id = b.id and t.state in ('posted', 'post_pending')) l on true
     where coalesce(l.owed, 0) <> case when b.kind = 'invoice' and b.status = 'open' then b.total - b.paid - b.credited else 0 end",
    },
    Invariant {
        number: 8,
        says: "what a customer owes is what the open bills come to",
        broken: "select count(*) from (
         select tenant_id, customer_id, sum(owed) from (
             select b.tenant_id, b.customer_id, b.total - b.paid - b.credited as owed from shop.bills b where b.status = 'open'
             union all
             select a.tenant_id, a.customer_id, a.credits_posted - a.debits_posted from shop.ledger_accounts a where a.code = 'receivable'
         ) x group by tenant_id, customer_id having sum(owed) <> 0) broken",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::billing::{CreateBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use contracts::tools::payment::{CollectPayment, PaymentMethod};
    use serde_json::json;

    use super::*;
    use crate::ledger::Desk;
    use crate::payments::{self, Direction, NewPayment, Provider};
    use crate::testing::World;

    /// Ways to break each rule, by its place in the list. Some also break others, which is fine.
    const BREAKS: &[(usize, &str)] = &[
        (
            0,
            "update shop.ledger_accounts set debits_posted = debits_posted + 1 where code = 'cash'",
        ),
        (
            0,
            "update shop.ledger_accounts set debits_pending = debits_pending + 1 where code = 'cash'",
        ),
        (
            1,
            "update shop.ledger_accounts set debits_posted = debits_posted + 1, credits_posted = credits_posted + 1 where code = 'cash'",
        ),
        (
            1,
            "update shop.ledger_transfers set amount = amount + 1 where reason = 'sale'",
        ),
        (1, "delete from shop.ledger_transfers where reverses is not null"),
        (
            2,
            "alter table shop.ledger_accounts drop constraint ledger_floor;
             update shop.ledger_accounts set debits_posted = credits_posted + 1 where code = 'wallet'",
        ),
        (
            2,
            "update shop.ledger_accounts set floored = false where code = 'wallet'",
        ),
        (
            2,
            "update shop.ledger_accounts set customer_id = null where code = 'receivable' and customer_id is not null",
        ),
        (
            3,
            "alter table shop.ledger_transfers drop constraint transfer_between_two;
             update shop.ledger_transfers set debit_account = credit_account",
        ),
        (
            4,
            "drop index shop.transfer_resolved_once;
             insert into shop.ledger_transfers select (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).*
             from shop.ledger_transfers t where t.pending_id is not null",
        ),
        (
            4,
            "update shop.ledger_transfers set amount = amount - 1 where pending_id is not null",
        ),
        (
            5,
            "update shop.ledger_transfers set amount = amount + 1 where reverses is not null",
        ),
        (
            6,
            "update shop.bills set total = total + 1, subtotal = subtotal + 1 where status = 'open'",
        ),
        (
            6,
            "update shop.ledger_transfers set bill_id = null where reason = 'payment'",
        ),
        (
            7,
            "update shop.ledger_accounts set debits_posted = debits_posted + 1 where code = 'receivable'",
        ),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}], "payment": {"method": "cash", "amount": "20"}});
        world.agree::<CreateBill>(bill.clone()).await.unwrap();
        let counter = json!({"lines": [{"item": "sugar", "quantity": "1"}]});
        world.agree::<CreateBill>(counter).await.unwrap();
        world
            .agree::<VoidBill>(json!({"bill": "last"}))
            .await
            .unwrap();
        let all = json!({"customer": "Ali", "amount": "1000", "method": "cash"});
        world.agree::<CollectPayment>(all).await.unwrap();
        world.agree::<CreateBill>(bill).await.unwrap();
        let mut transaction = world.begin().await;
        let call = world.call(&mut transaction);
        let desk = Desk::of(&call);
        let (direction, method) = (Direction::Collect, PaymentMethod::MobileMoney);
        let mut new =
            NewPayment::incoming(desk.new_id(), direction, method, Some(Provider::Momo), 100);
        new.bill_id = Some(world.newest_bill().await);
        let pending = payments::begin(call.conn, desk, &new).await.unwrap();
        payments::settle(call.conn, desk, pending.payment.id)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        world.check_invariants().await;
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
