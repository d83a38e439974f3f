//! What others are told is told, and whoever moves our money is asked until it is known.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 15,
        says: "a relayed event has a delivery for every endpoint that wants it",
        broken: "select count(*) from shop.outbox o
     join shop.webhook_endpoints e on e.tenant_id = o.tenant_id and e.status = 'active' and o.at >= e.created_at
       and e.topics && array[o.topic, split_part(o.topic, '.', 1) || '.*', '*']
     where o.relayed_at > e.created_at
       and not exists (select from shop.webhook_deliveries d where d.tenant_id = o.tenant_id and d.endpoint_id = e.id and d.event_id = o.id)",
    },
    Invariant {
        number: 15,
        says: "a delivery is of its event and waits only for an endpoint that is told things",
        broken: "select count(*) from shop.webhook_deliveries d
     join shop.outbox o on o.tenant_id = d.tenant_id and o.id = d.event_id
     join shop.webhook_endpoints e on e.tenant_id = d.tenant_id and e.id = d.endpoint_id
     where o.seq <> d.seq or o.subject <> d.subject or o.relayed_at is null or (d.status = 'pending' and e.status <> 'active')",
    },
    Invariant {
        number: 4,
        says: "a payment that is open for less than a month is being asked about",
        broken: "select count(*) from shop.payments p join shop.payment_requests r on r.tenant_id = p.tenant_id and r.payment_id = p.id
     where p.status in ('pending', 'unknown') and r.next_at is null and p.received_at > now() - interval '29 days'",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::AddItem;
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    const TOLD: &str = "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at)
            select id, gen_random_uuid(), 'https://example.com/', '{bill.*}', 'whsec_' || repeat('A', 32), '2020-01-01' from shop.tenants;
        insert into shop.outbox (tenant_id, id, at, topic, subject, data, relayed_at)
            select id, gen_random_uuid(), '2020-01-02', 'bill.issued', 'bill:1', '{}', '2020-01-03' from shop.tenants;";
    const DELIVERED: &str = "insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, next_at)
            select e.tenant_id, e.id, o.id, o.subject, o.seq, o.at from shop.webhook_endpoints e
              join shop.outbox o on o.tenant_id = e.tenant_id and o.subject = 'bill:1';";

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let mut world = World::new().await;
        world.providers.momo = true;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}],
            "payment": {"method": "mobile_money", "phone": "+250788123456"}});
        world.agree::<CreateBill>(bill).await.unwrap();
        let leak = |text: String| -> &'static str { text.leak() };
        let with = |change: &str| leak(format!("{TOLD}{DELIVERED}{change}"));
        world
            .every_rule_can_fail(
                RULES,
                &[
                    (0, TOLD),
                    (
                        1,
                        with("update shop.webhook_deliveries set subject = 'bill:2'"),
                    ),
                    (
                        1,
                        with("update shop.webhook_endpoints set status = 'disabled'"),
                    ),
                    (1, with("update shop.outbox set relayed_at = null")),
                    (
                        2,
                        "insert into shop.payment_requests (tenant_id, payment_id, step)
                         select tenant_id, id, 'poll' from shop.payments where status = 'pending';
                         update shop.payments set received_at = now()",
                    ),
                ],
            )
            .await;
    }
}
