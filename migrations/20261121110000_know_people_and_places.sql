-- Who the customers are and what they like, where the shop is, and what people have to look at.

alter table shop.tenants add column country text check (country ~ '^[A-Z]{2}$');
comment on column shop.tenants.country is 'ISO 3166 alpha-2; telephone numbers without a country code are of this country, and where it is null they are refused';
update shop.tenants set country = 'RW' where demo;

-- What customers prefer.

alter table shop.customers
    add column contact   text check (contact in ('phone', 'email', 'none')),
    add column time_zone text check (length(time_zone) between 1 and 60),
    add column notes     text check (length(notes) between 1 and 1000),
    add column version   bigint not null default 1,
    add constraint customer_email check (length(email) between 3 and 254),
    add constraint customer_locale check (length(locale) between 2 and 35),
    add constraint customer_reachable check (
        (contact is distinct from 'phone' or phone_e164 is not null) and (contact is distinct from 'email' or email is not null));
comment on column shop.customers.contact is 'How they want to be reached; null until they have said';
comment on column shop.customers.version is 'Grows with every change';

create table shop.customer_favourites (
    tenant_id   uuid not null,
    customer_id uuid not null,
    item_id     uuid not null,
    primary key (tenant_id, customer_id, item_id),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    foreign key (tenant_id, item_id) references shop.items (tenant_id, id)
);
comment on table shop.customer_favourites is 'What a customer usually takes';

-- Where the shop is. Coordinates are measurements, not money: the one place for floating point.

create table shop.locations (
    tenant_id   uuid not null references shop.tenants,
    id          uuid not null,
    name        text not null check (length(name) between 1 and 80),
    name_norm   text not null generated always as (shop.norm(name)) stored,
    aliases     text[] not null default '{}' check (cardinality(aliases) <= 20),
    address     text check (length(address) between 1 and 200),
    latitude    double precision not null check (latitude between -90 and 90),
    longitude   double precision not null check (longitude between -180 and 180),
    hours       text check (length(hours) between 1 and 400),
    created_at  timestamptz not null,
    archived_at timestamptz,
    primary key (tenant_id, id)
);
comment on table shop.locations is 'Branches of the shop';
comment on column shop.locations.hours is 'Weekly opening hours on the shop''s wall clock: mon-fri 08:00-18:00, sat 09:00-13:00';
create unique index locations_name on shop.locations (tenant_id, name_norm) where archived_at is null;

-- What people have to look at.

create table shop.tickets (
    tenant_id    uuid not null references shop.tenants,
    id           uuid not null,
    number       bigint not null check (number > 0),
    customer_id  uuid,
    subject      text not null check (length(subject) between 1 and 120),
    body         text not null default '' check (length(body) <= 4000),
    status       text not null check (status in ('open', 'escalated', 'waiting', 'resolved', 'closed')),
    priority     text not null check (priority in ('low', 'normal', 'high', 'urgent')),
    assignee     text check (length(assignee) between 1 and 120),
    session      text check (length(session) between 1 and 200),
    created_by   text not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    escalated_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    constraint ticket_escalated check (status <> 'escalated' or escalated_at is not null)
);
comment on table shop.tickets is 'Requests that a person takes care of';
comment on column shop.tickets.session is 'The conversation it came from, as the agent names it';
create unique index ticket_number on shop.tickets (tenant_id, number);
create index tickets_status on shop.tickets (tenant_id, status, number desc);
create index tickets_customer on shop.tickets (tenant_id, customer_id, number desc) where customer_id is not null;

create table shop.ticket_notes (
    tenant_id uuid not null,
    ticket_id uuid not null,
    seq       bigint not null check (seq > 0),
    note      text not null check (length(note) between 1 and 4000),
    actor     text not null,
    at        timestamptz not null,
    primary key (tenant_id, ticket_id, seq),
    foreign key (tenant_id, ticket_id) references shop.tickets (tenant_id, id)
);
comment on table shop.ticket_notes is 'What was written on a ticket, append-only: seq from 1 without a gap per ticket';

grant select, insert, update on shop.locations, shop.tickets to countersign_shop;
grant select, insert on shop.ticket_notes to countersign_shop;
grant select, insert, delete on shop.customer_favourites to countersign_shop;

do $$
declare t text;
begin
    foreach t in array array['customer_favourites', 'locations', 'tickets', 'ticket_notes']
    loop
        execute format('alter table shop.%I enable row level security', t);
        execute format(
            'create policy tenant on shop.%I to countersign_shop using (tenant_id = (select current_setting(''app.tenant'')::uuid)) with check (tenant_id = (select current_setting(''app.tenant'')::uuid))',
            t);
    end loop;
end $$;

-- What the demo has made, so that it makes nothing twice and can be taken out again.

create table shop.demo_parts (
    tenant_id  uuid not null references shop.tenants,
    part       text not null check (length(part) between 1 and 120),
    subject    text,
    made_at    timestamptz not null,
    removed_at timestamptz,
    primary key (tenant_id, part)
);
comment on table shop.demo_parts is 'What the demo has made in a shop, a row per part: made once, and not again after its removal';
comment on column shop.demo_parts.subject is 'As in the audit log, item:<uuid>; null where there was one of that name already';
grant select, insert, update on shop.demo_parts to countersign_shop;
alter table shop.demo_parts enable row level security;
create policy tenant on shop.demo_parts to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

-- Demo shops of before: what the owner has removed of them stays removed.
insert into shop.demo_parts (tenant_id, part, subject, made_at)
select distinct on (a.tenant_id, a.arguments ->> 'name') a.tenant_id, 'item ' || (a.arguments ->> 'name'), a.subject, a.at
from shop.audit_log a where a.requested_by = 'demo' and a.tool = 'inventory_add_item'
order by a.tenant_id, a.arguments ->> 'name', a.at;
