//! Nobody is booked twice, and every booking is what was agreed to.

use super::Invariant;

pub(super) const RULES: &[Invariant] = &[
    Invariant {
        number: 10,
        says: "no two live bookings overlap on one lane",
        broken: "select count(*) from shop.bookings a
     join shop.bookings b on b.tenant_id = a.tenant_id and b.resource_id = a.resource_id and b.lane = a.lane and b.id > a.id
     where a.status in ('held', 'confirmed') and b.status in ('held', 'confirmed') and a.blocks && b.blocks",
    },
    Invariant {
        number: 10,
        says: "at no moment are more live than the resource takes",
        broken: "select count(*) from shop.bookings a join shop.resources r on r.tenant_id = a.tenant_id and r.id = a.resource_id
     where a.status in ('held', 'confirmed')
       and (a.lane > r.lanes
            or r.lanes < (select count(*) from shop.bookings b
                          where b.tenant_id = a.tenant_id and b.resource_id = a.resource_id and b.status in ('held', 'confirmed')
                            and b.blocks @> a.blocks_from))",
    },
    Invariant {
        number: 10,
        says: "a booking blocks itself, and what is over, cancelled or expired blocks nothing in the constraint",
        broken: "select (select count(*) from shop.bookings where not blocks @> during or isempty(during))
          + (select count(*) from (select 1) one where not exists (
                 select from pg_catalog.pg_constraint c
                 where c.conname = 'no_double_booking' and c.conrelid = 'shop.bookings'::regclass and c.contype = 'x' and c.convalidated))",
    },
    Invariant {
        number: 10,
        says: "a hold ends with its question: nothing is held for one that is answered",
        broken: "select count(*) from shop.bookings b
     join shop.confirmations c on c.tenant_id = b.tenant_id and c.id = b.confirmation_id
     where b.status = 'held' and c.status in ('done', 'failed', 'declined', 'superseded')",
    },
    Invariant {
        number: 7,
        says: "bookings are numbered without a gap, holds are not, and the counter is the last",
        broken: "select count(*) from (
         select b.tenant_id, count(*) as bookings, max(b.number) as last, count(distinct b.number) as numbers,
                count(*) filter (where b.status in ('held', 'expired')) as holds
         from shop.bookings b where b.number is not null group by b.tenant_id
     ) b full join (select * from shop.counters where series = 'BK') c on c.tenant_id = b.tenant_id
     where b.bookings is distinct from b.last or b.numbers is distinct from b.bookings or c.last is distinct from b.last or b.holds > 0",
    },
    Invariant {
        number: 9,
        says: "every booking that was agreed to has been told, and its changes are counted",
        broken: "select count(*) from shop.bookings b
     where b.number is not null
       and (b.ical_sequence <> b.version - 1
            or (b.status = 'cancelled' and b.cancelled_at is null)
            or b.moves_booking_id is not null)",
    },
];

#[cfg(test)]
mod tests {
    use contracts::tools::booking::{CreateBooking, SetHours, SetResource};
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    /// Ways to break each rule, by its place in the list. Some also break others, which is fine.
    const BREAKS: &[(usize, &str)] = &[
        (
            0,
            "alter table shop.bookings drop constraint no_double_booking;
             update shop.bookings set lane = 1",
        ),
        (1, "update shop.resources set lanes = 1"),
        (
            1,
            "alter table shop.bookings drop constraint no_double_booking; update shop.bookings set lane = 1;
             update shop.resources set lanes = 1",
        ),
        (
            2,
            "alter table shop.bookings drop constraint booking_blocks_itself;
             update shop.bookings set blocks_until = ends_at - interval '1 minute'",
        ),
        (
            2,
            "alter table shop.bookings drop constraint no_double_booking",
        ),
        (
            3,
            "insert into shop.confirmations (tenant_id, id, token_hash, tool, arguments, arguments_digest, question, binding_digest,
                 requested_by, requested_role, approver, locale, status, decided_by, decided_at, created_at, expires_at)
             select tenant_id, id, sha256(id::text::bytea), 'create_booking', '{}', sha256('a'), '{}', sha256('a'), 'amina', 'owner', 'self', 'en',
                 'declined', 'amina', now(), now(), now() from shop.bookings;
             update shop.bookings set status = 'held', hold_expires_at = now(), confirmation_id = id",
        ),
        (4, "update shop.bookings set number = number + 1 where number = 2"),
        (4, "update shop.counters set last = last + 1 where series = 'BK'"),
        (
            4,
            "update shop.bookings set status = 'held', hold_expires_at = now()",
        ),
        (5, "update shop.bookings set ical_sequence = 7"),
    ];

    #[tokio::test]
    async fn every_rule_finds_what_it_is_there_for() {
        let world = World::new().await;
        let chair = json!({"name": "Chair", "capacity": 2});
        world.write::<SetResource>(chair).await.unwrap();
        let hours = json!({"resource": "chair", "weekdays": ["friday"], "opens": "09:00", "closes": "17:00"});
        world.write::<SetHours>(hours).await.unwrap();
        for _ in 0..2 {
            let book = json!({"date": "2026-11-27", "time": "15:00"});
            world.agree::<CreateBooking>(book).await.unwrap();
        }
        world.every_rule_can_fail(RULES, BREAKS).await;
    }
}
