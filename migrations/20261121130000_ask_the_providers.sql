-- Payments that leave the process: what their provider is to be asked next, and when.

create table shop.payment_requests (
    tenant_id    uuid not null,
    payment_id   uuid not null,
    step         text not null check (step in ('request', 'poll')),
    attempts     int not null default 0 check (attempts >= 0),
    next_at      timestamptz,
    silent_since timestamptz,
    last_error   text,
    primary key (tenant_id, payment_id),
    foreign key (tenant_id, payment_id) references shop.payments (tenant_id, id)
);
comment on table shop.payment_requests is 'How far asking a provider about a payment has come; the payment itself says what came of it';
comment on column shop.payment_requests.next_at is 'Not before then; moved ahead while it is being asked. Empty: there is nothing left to ask';
comment on column shop.payment_requests.silent_since is 'Since when the provider has said nothing that can be used';
create index payment_requests_due on shop.payment_requests (next_at) where next_at is not null;
grant select, insert, update (step, attempts, next_at, silent_since, last_error) on shop.payment_requests to countersign_shop;
alter table shop.payment_requests enable row level security;
create policy tenant on shop.payment_requests to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

create index payments_of_providers on shop.payments (id) where provider is not null;

-- A payment that was begun wants to be asked for; whoever began it needs to say nothing more.
create function shop.due_payments(at timestamptz, most int)
    returns table (tenant uuid, payment uuid) language sql stable security definer set search_path = pg_catalog, shop as $$
    (select p.tenant_id, p.id from shop.payments p
     where p.status in ('pending', 'unknown') and p.provider is not null
       and not exists (select from shop.payment_requests r where r.tenant_id = p.tenant_id and r.payment_id = p.id)
     limit most)
    union all
    (select r.tenant_id, r.payment_id from shop.payment_requests r where r.next_at <= at order by r.next_at limit most)
$$;
comment on function shop.due_payments is 'Payments whose provider is to be asked now';
revoke all on function shop.due_payments from public;
grant execute on function shop.due_payments to countersign_shop;

-- Whoever calls from outside names a payment and no tenant.
create function shop.tenant_of_payment(provider_name text, payment uuid)
    returns uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select p.tenant_id from shop.payments p where p.id = payment and p.provider = provider_name
$$;
comment on function shop.tenant_of_payment is 'Whose payment a provider speaks of';
revoke all on function shop.tenant_of_payment from public;
grant execute on function shop.tenant_of_payment to countersign_shop;
