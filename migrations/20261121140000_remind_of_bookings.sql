-- Who has booked something is reminded, a day and an hour before.

create table shop.booking_reminders (
    tenant_id    uuid not null,
    booking_id   uuid not null,
    starts_at    timestamptz not null,
    hours_before int not null check (hours_before in (1, 24)),
    at           timestamptz not null,
    primary key (tenant_id, booking_id, starts_at, hours_before),
    foreign key (tenant_id, booking_id) references shop.bookings (tenant_id, id)
);
comment on table shop.booking_reminders is 'Which reminders were told, append-only: a booking that moves is reminded of anew';
grant select, insert on shop.booking_reminders to countersign_shop;
alter table shop.booking_reminders enable row level security;
create policy tenant on shop.booking_reminders to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

create index bookings_to_come on shop.bookings (starts_at) where status = 'confirmed';
create index bookings_holds_lapsing on shop.bookings (hold_expires_at) where status = 'held';

-- A reminder that is late is told until the next one is due; whoever booked after its time needs none.
create function shop.tenants_with_due_reminders(at timestamptz, most int)
    returns setof uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select distinct b.tenant_id from shop.bookings b
    cross join (values (1, interval '1 hour', interval '0'), (24, interval '24 hours', interval '1 hour')) as r (hours, before, until)
    where b.status = 'confirmed' and b.starts_at > at and b.starts_at <= at + interval '24 hours'
      and b.starts_at <= at + r.before and b.starts_at > at + r.until and b.changed_at <= b.starts_at - r.before
      and not exists (select from shop.booking_reminders d where d.tenant_id = b.tenant_id and d.booking_id = b.id
                        and d.starts_at = b.starts_at and d.hours_before = r.hours)
    limit most
$$;
comment on function shop.tenants_with_due_reminders is 'Tenants with bookings of which somebody is to be reminded now';
revoke all on function shop.tenants_with_due_reminders from public;
grant execute on function shop.tenants_with_due_reminders to countersign_shop;

create function shop.tenants_with_lapsed_holds(at timestamptz, most int)
    returns setof uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select distinct b.tenant_id from shop.bookings b where b.status = 'held' and b.hold_expires_at <= at limit most
$$;
comment on function shop.tenants_with_lapsed_holds is 'Tenants with held times whose question nobody has answered in time';
revoke all on function shop.tenants_with_lapsed_holds from public;
grant execute on function shop.tenants_with_lapsed_holds to countersign_shop;
