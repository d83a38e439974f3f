//! What the call path promises of every call: one effect per key and per question, and one trace per effect.
//!
//! Tests that call a tool's handler without the call path do not run these (`is_of_calls`).

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 7,
        says: "a bill and its lines are as they were when it was issued",
        broken: "select count(*) from shop.bills b
     join shop.audit_log a on a.tenant_id = b.tenant_id and a.tool = 'billing_create_bill' and a.subject = 'bill:' || b.id
     where (a.after -> 'total' ->> 'amount_minor')::bigint <> b.total
        or (a.after -> 'subtotal' ->> 'amount_minor')::bigint <> b.subtotal
        or (a.after -> 'discount' ->> 'amount_minor')::bigint <> b.discount
        or (a.after -> 'tax' ->> 'amount_minor')::bigint <> b.tax
        or a.after ->> 'number' <> b.series || '-' || b.number
        or a.after ->> 'customer' is distinct from b.customer_name
        or (a.after ->> 'issued_at')::timestamptz <> b.issued_at
        or jsonb_path_query_array(a.after, '$.lines[*].gross.amount_minor') <>
           (select coalesce(jsonb_agg(l.gross order by l.line_no), '[]') from shop.bill_lines l
            where l.tenant_id = b.tenant_id and l.bill_id = b.id)",
    },
    Invariant {
        number: 11,
        says: "a key that is remembered has its answer, or a question nobody has answered",
        broken: "select count(*) from shop.idempotency i
     left join shop.confirmations c on c.tenant_id = i.tenant_id and c.id = i.confirmation_id
     where i.answer is null and (c.id is null or c.status in ('done', 'failed', 'declined', 'superseded'))",
    },
    Invariant {
        number: 11,
        says: "a key and the question asked for it have the same answer",
        broken: "select count(*) from shop.idempotency i
     join shop.confirmations c on c.tenant_id = i.tenant_id and c.id = i.confirmation_id
     where c.status in ('done', 'failed') and i.answer is distinct from c.answer",
    },
    Invariant {
        number: 12,
        says: "a question that was agreed to has one effect: its own tool, arguments and people",
        broken: "select count(*) from shop.confirmations c
     left join shop.audit_log a on a.tenant_id = c.tenant_id and a.confirmation_id = c.id
     where c.status = 'done'
       and (a.id is null or a.tool <> c.tool or a.arguments <> c.arguments or a.requested_by <> c.requested_by
            or a.decided_by is distinct from c.decided_by or a.decided_via is distinct from c.decided_via)",
    },
    Invariant {
        number: 12,
        says: "no effect without a yes to the question it names",
        broken: "select count(*) from shop.audit_log a
     where a.confirmation_id is not null
       and not exists (select from shop.confirmations c
                       where c.tenant_id = a.tenant_id and c.id = a.confirmation_id and c.status = 'done')",
    },
    Invariant {
        number: 12,
        says: "a question is answered after it was asked and before it lapsed",
        broken: "select count(*) from shop.confirmations c
     where c.status in ('done', 'failed', 'declined') and (c.decided_at < c.created_at or c.decided_at >= c.expires_at)",
    },
    Invariant {
        number: 15,
        says: "every item added or removed and every bill issued or voided has its one row in the audit log",
        broken: "select count(*) from (select 1 from (
         select i.tenant_id, 'item:' || i.id as subject, 'inventory_add_item' as tool, 1 as n from shop.items i
         union all
         select i.tenant_id, 'item:' || i.id, 'inventory_delete_item', 1 from shop.items i where i.archived_at is not null
         union all
         select b.tenant_id, 'bill:' || b.id, 'billing_create_bill', 1 from shop.bills b where b.series = 'INV'
         union all
         select b.tenant_id, 'bill:' || b.id, 'billing_void_bill', 1 from shop.bills b where b.status = 'void'
         union all
         select a.tenant_id, a.subject, a.tool, -1 from shop.audit_log a
         where a.tool in ('inventory_add_item', 'inventory_delete_item', 'billing_create_bill', 'billing_void_bill')
     ) x group by tenant_id, subject, tool having sum(n) <> 0) broken",
    },
    Invariant {
        number: 15,
        says: "every bill issued or voided was told to others once",
        // Events are forgotten after 90 days, so an old bill may have none; none ever has two.
        broken: "select count(*) from (select 1 from (
         select b.tenant_id, 'bill:' || b.id as subject, 'bill.issued' as topic, 1 as n, b.issued_at as at from shop.bills b where b.series = 'INV'
         union all
         select b.tenant_id, 'bill:' || b.id, 'bill.voided', 1, b.voided_at from shop.bills b where b.status = 'void'
         union all
         select o.tenant_id, o.subject, o.topic, -1, null from shop.outbox o where o.topic in ('bill.issued', 'bill.voided')
     ) x group by tenant_id, subject, topic
     having sum(n) < 0 or (sum(n) > 0 and max(at) > now() - interval '89 days')) broken",
    },
];

#[cfg(test)]
mod tests {
    use contracts::ids::TenantId;
    use migrations::clock;
    use migrations::database::Role;
    use migrations::test_database::TestDatabase;
    use serde_json::{Value, json};

    use super::*;
    use crate::app::App;
    use crate::call::{self, Answer, ToolRequest};
    use crate::caller::Caller;
    use crate::demo;

    /// Ways to break each rule, by its place in the list. Some also break others, which is fine.
    const BREAKS: &[(usize, &str)] = &[
        (
            0,
            "update shop.bills set subtotal = subtotal + 1, total = total + 1",
        ),
        (0, "update shop.bills set customer_name = 'Zoe'"),
        (
            0,
            "update shop.bill_lines set unit_price = unit_price + 1, gross = round(quantity * (unit_price + 1))",
        ),
        (0, "delete from shop.bill_lines"),
        (1, "update shop.idempotency set answer = null"),
        (
            1,
            "update shop.idempotency set answer = null, confirmation_id = null",
        ),
        (2, "update shop.idempotency set answer = '{\"done\": {}}'"),
        (
            3,
            "delete from shop.audit_log where tool = 'billing_create_bill'",
        ),
        (
            3,
            "update shop.audit_log set decided_by = 'a model' where tool = 'billing_create_bill'",
        ),
        (
            3,
            "update shop.audit_log set arguments = '{}' where tool = 'billing_create_bill'",
        ),
        (
            4,
            "update shop.confirmations set status = 'declined', answer = null",
        ),
        (4, "delete from shop.confirmations"),
        (5, "update shop.confirmations set expires_at = decided_at"),
        (
            6,
            "delete from shop.audit_log where tool = 'inventory_add_item'",
        ),
        (6, "update shop.bills set status = 'void', paid = 0"),
        (7, "delete from shop.outbox"),
    ];

    async fn bill(app: &App, answer: Option<String>) -> Answer {
        let arguments = json!({"customer": "Ali", "lines": [{"item": "soap", "quantity": "1"}], "idempotency_key": "sale"});
        let Value::Object(arguments) = arguments else {
            unreachable!("an object")
        };
        let request = ToolRequest {
            name: "billing_create_bill".to_owned(),
            arguments,
            person_says: answer.is_some().then_some(true),
            request_state: answer,
            ..ToolRequest::default()
        };
        call::run(app, &Caller::local_owner(), request, true).await
    }

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let database = TestDatabase::new().await;
        let clock = clock::from_setting(None);
        let made = demo::make_tenant(&database.owner_url(), clock.now()).await;
        made.unwrap();
        let pool = database.pool(Role::Shop).await;
        let app = App::new(pool, clock, String::new(), [7; 32], [7; 32]);
        demo::stock(&app).await.unwrap();
        let Answer::Asked(asked) = bill(&app, None).await else {
            panic!("a bill is asked about");
        };
        assert_eq!(asked.question.requested_by, Caller::local_owner().subject);
        let done = bill(&app, Some(asked.token)).await;
        assert!(matches!(done, Answer::Done(_)), "{done:?}");
        let owner = database.owner_pool().await;
        for rule in super::super::all() {
            let broken: i64 = sqlx::query_scalar(rule.broken)
                .fetch_one(&owner)
                .await
                .unwrap();
            assert_eq!(broken, 0, "{}", rule.says);
        }
        for (place, sabotage) in BREAKS {
            let mut transaction = owner.begin().await.unwrap();
            let broke = sqlx::raw_sql(*sabotage).execute(&mut *transaction).await;
            broke.expect(sabotage);
            let rule = RULES[*place];
            let found: i64 = sqlx::query_scalar(rule.broken)
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert!(found > 0, "{}: not found after {sabotage}", rule.says);
        }
        let proven: std::collections::BTreeSet<usize> =
            BREAKS.iter().map(|(place, _)| *place).collect();
        assert_eq!(proven.len(), RULES.len(), "every rule is proven");
        assert_eq!(Caller::local_owner().tenant, TenantId::DEMO);
    }
}
