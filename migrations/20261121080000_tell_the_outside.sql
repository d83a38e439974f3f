-- What other programs are told: written with the effect, delivered afterwards.

create table shop.outbox (
    tenant_id uuid not null references shop.tenants,
    id        uuid not null,
    at        timestamptz not null,
    topic     text not null check (topic ~ '^[a-z]+\.[a-z_]+$'),
    subject   text not null,
    data      jsonb not null,
    primary key (tenant_id, id)
);
comment on table shop.outbox is 'What happened to the business, one row per event, written in the transaction of the effect';
grant select, insert on shop.outbox to countersign_shop;
alter table shop.outbox enable row level security;
create policy tenant on shop.outbox to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));
