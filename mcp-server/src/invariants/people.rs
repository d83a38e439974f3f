//! Tickets and their notes are numbered without a gap, people are reached where they can be, and somebody can always administer.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 9,
        says: "tickets are numbered from 1 without a gap, up to their counter",
        broken: "select count(*) from (
         select c.tenant_id, c.last, (select count(*) from shop.tickets t where t.tenant_id = c.tenant_id) as tickets,
                (select coalesce(max(t.number), 0) from shop.tickets t where t.tenant_id = c.tenant_id) as highest
         from shop.counters c where c.series = 'T'
     ) c where c.tickets <> c.last or c.highest <> c.last",
    },
    Invariant {
        number: 9,
        says: "the notes of a ticket are numbered from 1 without a gap",
        broken: "select count(*) from (
         select n.seq, row_number() over (partition by n.tenant_id, n.ticket_id order by n.seq) as place from shop.ticket_notes n
     ) n where n.seq <> n.place",
    },
    Invariant {
        number: 9,
        says: "nobody's number is somebody else's",
        broken: "select count(*) from (
         select 1 from shop.customers c where c.phone_e164 is not null and c.deleted_at is null
         group by c.tenant_id, c.phone_e164 having count(*) > 1
     ) c",
    },
    Invariant {
        number: 9,
        says: "a business with owners has one who may log in",
        broken: "select count(*) from shop.tenants t
     where exists (select from shop.people p where p.tenant_id = t.id and p.role = 'owner')
       and not exists (select from shop.people p where p.tenant_id = t.id and p.role = 'owner' and p.disabled_at is null)",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::profile::CreateCustomer;
    use contracts::tools::support::{CreateTicket, UpdateTicket};
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    /// Ways to break each rule, by its place in the list.
    const BREAKS: &[(usize, &str)] = &[
        (0, "update shop.tickets set number = 7 where number = 2"),
        (
            0,
            "update shop.counters set last = last + 1 where series = 'T'",
        ),
        (1, "update shop.ticket_notes set seq = 3 where seq = 2"),
        (
            2,
            "drop index shop.customers_phone; update shop.customers set phone_e164 = '+250788123456'",
        ),
        (
            3,
            "insert into shop.people (tenant_id, id, subject, name, role, created_at, disabled_at)
             select id, id, 'olga', 'Olga', 'owner', now(), now() from shop.tenants",
        ),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        for (name, phone) in [("Ali", "0788123456"), ("Zoe", "0788123457")] {
            let person = json!({"name": name, "phone": phone});
            world.write::<CreateCustomer>(person).await.unwrap();
            let ticket = json!({"subject": "Door", "customer": name});
            world.write::<CreateTicket>(ticket).await.unwrap();
            let note = json!({"ticket": "1", "note": "Called"});
            world.write::<UpdateTicket>(note).await.unwrap();
        }
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
