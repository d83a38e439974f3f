-- Bookings: what can be booked, when it is open, and who has it.
--
-- Hours are wall-clock minutes, never UTC: nine o'clock stays nine o'clock when the clocks change. A booking is an instant. That nobody is
-- booked twice is promised by one exclusion constraint and by nothing else; btree_gist, which it needs, is made by the first migration.

create table shop.resources (
    tenant_id             uuid not null references shop.tenants,
    id                    uuid not null,
    name                  text not null check (length(name) between 1 and 80),
    name_norm             text not null generated always as (shop.norm(name)) stored,
    kind                  text not null default '' check (length(kind) <= 40),
    kind_norm             text not null generated always as (shop.norm(kind)) stored,
    lanes                 smallint not null default 1 check (lanes between 1 and 200),
    slot_minutes          int not null default 30 check (slot_minutes between 5 and 1440),
    buffer_before_minutes int not null default 0 check (buffer_before_minutes between 0 and 1440),
    buffer_after_minutes  int not null default 0 check (buffer_after_minutes between 0 and 1440),
    min_notice_minutes    int not null default 0 check (min_notice_minutes between 0 and 43200),
    max_ahead_days        int not null default 90 check (max_ahead_days between 1 and 730),
    cancel_notice_minutes int not null default 0 check (cancel_notice_minutes between 0 and 43200),
    cancel_fee_bp         int not null default 0 check (cancel_fee_bp between 0 and 10000),
    time_zone             text,
    price                 bigint check (price >= 0),
    active                boolean not null default true,
    version               bigint not null default 1,
    created_at            timestamptz not null,
    primary key (tenant_id, id)
);
comment on table shop.resources is 'What can be booked: a chair, a table, a room';
comment on column shop.resources.lanes is 'How many bookings it takes at the same time; every booking has one lane';
comment on column shop.resources.time_zone is 'Where its hours are; the shop''s when null';
comment on column shop.resources.price is 'Minor units of the shop''s currency per slot';
comment on column shop.resources.cancel_fee_bp is 'Hundredths of a percent of the price';
create unique index resources_name on shop.resources (tenant_id, name_norm);

create table shop.resource_aliases (
    tenant_id   uuid not null,
    resource_id uuid not null,
    name        text not null check (length(name) between 1 and 80),
    name_norm   text not null generated always as (shop.norm(name)) stored,
    primary key (tenant_id, resource_id, name_norm),
    foreign key (tenant_id, resource_id) references shop.resources (tenant_id, id)
);
comment on table shop.resource_aliases is 'Other names of what can be booked, in any language: silla for Chair 1';
create index resource_aliases_name on shop.resource_aliases (tenant_id, name_norm);

create table shop.weekly_hours (
    tenant_id     uuid not null,
    resource_id   uuid not null,
    weekday       smallint not null check (weekday between 1 and 7),
    opens_minute  smallint not null check (opens_minute between 0 and 1439),
    closes_minute smallint not null,
    primary key (tenant_id, resource_id, weekday, opens_minute),
    foreign key (tenant_id, resource_id) references shop.resources (tenant_id, id),
    constraint weekly_hours_order check (closes_minute > opens_minute and closes_minute <= opens_minute + 1440)
);
comment on table shop.weekly_hours is 'When a resource is open, minutes of the wall clock after midnight; weekday 1 is Monday; beyond 1440 is the next day';

create table shop.date_hours (
    tenant_id     uuid not null,
    resource_id   uuid not null,
    on_date       date not null,
    opens_minute  smallint not null check (opens_minute between 0 and 1439),
    closes_minute smallint not null,
    primary key (tenant_id, resource_id, on_date, opens_minute),
    foreign key (tenant_id, resource_id) references shop.resources (tenant_id, id),
    constraint date_hours_order check (
        (closes_minute > opens_minute and closes_minute <= opens_minute + 1440) or (opens_minute = 0 and closes_minute = 0))
);
comment on table shop.date_hours is 'Hours of one date, instead of those of its weekday; one row from 0 to 0 is a day on which it is closed';

create table shop.bookings (
    tenant_id             uuid not null references shop.tenants,
    id                    uuid not null,
    number                bigint check (number > 0),
    resource_id           uuid not null,
    lane                  smallint not null check (lane > 0),
    status                text not null check (status in ('held', 'confirmed', 'completed', 'no_show', 'cancelled', 'expired')),
    starts_at             timestamptz not null,
    ends_at               timestamptz not null,
    blocks_from           timestamptz not null,
    blocks_until          timestamptz not null,
    during                tstzrange not null generated always as (tstzrange(starts_at, ends_at)) stored,
    blocks                tstzrange not null generated always as (tstzrange(blocks_from, blocks_until)) stored,
    customer_id           uuid,
    customer_name         text check (length(customer_name) between 1 and 120),
    phone_e164            text check (phone_e164 ~ '^\+[1-9][0-9]{6,14}$'),
    notes                 text not null default '' check (length(notes) <= 500),
    price                 bigint check (price >= 0),
    currency              text references shop.currencies,
    cancel_notice_minutes int not null default 0,
    cancel_fee_bp         int not null default 0 check (cancel_fee_bp between 0 and 10000),
    cancel_fee_minor      bigint check (cancel_fee_minor >= 0),
    cancel_reason         text,
    cancelled_at          timestamptz,
    hold_expires_at       timestamptz,
    confirmation_id       uuid,
    moves_booking_id      uuid,
    ical_uid              text not null,
    ical_sequence         int not null default 0 check (ical_sequence >= 0),
    version               bigint not null default 1,
    created_by            text not null,
    created_at            timestamptz not null,
    changed_at            timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, resource_id) references shop.resources (tenant_id, id),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    foreign key (tenant_id, moves_booking_id) references shop.bookings (tenant_id, id),
    constraint booking_lasts check (starts_at < ends_at),
    constraint booking_blocks_itself check (blocks_from <= starts_at and blocks_until >= ends_at),
    constraint booking_blocks_three_days_at_most check (blocks_until <= blocks_from + interval '72 hours'),
    constraint booking_numbered check (status in ('held', 'expired') or number is not null),
    constraint booking_hold check (status <> 'held' or hold_expires_at is not null),
    constraint booking_move check (moves_booking_id is null or status in ('held', 'expired')),
    constraint booking_cancelled check ((status = 'cancelled') = (cancelled_at is not null)),
    constraint booking_currency check (currency is not null or (price is null and cancel_fee_minor is null)),
    constraint no_double_booking exclude using gist (tenant_id with =, resource_id with =, lane with =, blocks with &&)
        where (status in ('held', 'confirmed'))
);
comment on table shop.bookings is 'Who has what when; a held row keeps a time free while a question is open';
comment on column shop.bookings.number is 'The n of BK-n, given when it is agreed to; a hold has none';
comment on column shop.bookings.blocks is 'The booking with its buffers: what nobody else can have on the lane while it is held or confirmed';
comment on column shop.bookings.moves_booking_id is 'For a hold: the booking that will move here';
comment on column shop.bookings.cancel_notice_minutes is 'The terms when it was agreed to, like cancel_fee_bp';
create unique index booking_number on shop.bookings (tenant_id, number) where number is not null;
create index bookings_live on shop.bookings (tenant_id, resource_id, blocks_from) where status in ('held', 'confirmed');
create index bookings_by_start on shop.bookings (tenant_id, starts_at, id);
create index bookings_by_customer on shop.bookings (tenant_id, customer_id, starts_at);
create index bookings_holds on shop.bookings (tenant_id, hold_expires_at) where status = 'held';
create index bookings_of_question on shop.bookings (tenant_id, confirmation_id) where status = 'held';

-- Hours and other names are replaced; bookings and resources are never deleted.
grant select, insert, update on shop.resources, shop.bookings to countersign_shop;
grant select, insert, delete on shop.resource_aliases, shop.weekly_hours, shop.date_hours to countersign_shop;

do $$
declare
    name text;
begin
    foreach name in array array['resources', 'resource_aliases', 'weekly_hours', 'date_hours', 'bookings'] loop
        execute format('alter table shop.%I enable row level security', name);
        execute format(
            'create policy tenant on shop.%I to countersign_shop using (tenant_id = (select current_setting(''app.tenant'')::uuid)) with check (tenant_id = (select current_setting(''app.tenant'')::uuid))',
            name);
    end loop;
end $$;
