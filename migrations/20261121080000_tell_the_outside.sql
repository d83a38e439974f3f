-- What other programs are told: written with the effect, delivered afterwards. And how work is put into the job queue.

create table shop.outbox (
    tenant_id  uuid not null references shop.tenants,
    id         uuid not null,
    at         timestamptz not null,
    topic      text not null check (topic ~ '^[a-z]+\.[a-z_]+$'),
    subject    text not null,
    data       jsonb not null,
    -- The order in which the events of one subject happened: whoever changes a subject holds its row until the commit.
    seq        bigint not null generated always as identity,
    relayed_at timestamptz,
    primary key (tenant_id, id)
);
comment on table shop.outbox is 'What happened to the business, one row per event, written in the transaction of the effect';
comment on column shop.outbox.relayed_at is 'When deliveries were made of it. Stays empty in a shop that tells nobody';
create index outbox_waiting on shop.outbox (tenant_id, at) where relayed_at is null;
grant select, insert, update (relayed_at) on shop.outbox to countersign_shop;
alter table shop.outbox enable row level security;
create policy tenant on shop.outbox to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

create table shop.webhook_endpoints (
    tenant_id  uuid not null references shop.tenants,
    id         uuid not null,
    url        text not null check (length(url) between 1 and 2000),
    topics     text[] not null check (cardinality(topics) between 1 and 50),
    secret     text not null check (secret ~ '^whsec_[A-Za-z0-9+/]{32,}=*$'),
    status     text not null default 'active' check (status in ('active', 'disabled', 'removed')),
    reason     text,
    created_at timestamptz not null,
    primary key (tenant_id, id)
);
comment on table shop.webhook_endpoints is 'Who is told what: an address, its topics, and the secret its deliveries are signed with';
create index webhook_endpoints_active on shop.webhook_endpoints (tenant_id, created_at) where status = 'active';
grant select, insert, update (status, reason) on shop.webhook_endpoints to countersign_shop;
alter table shop.webhook_endpoints enable row level security;
create policy tenant on shop.webhook_endpoints to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

create table shop.webhook_deliveries (
    tenant_id   uuid not null,
    endpoint_id uuid not null,
    event_id    uuid not null,
    subject     text not null,
    seq         bigint not null,
    status      text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
    attempts    int not null default 0 check (attempts >= 0),
    next_at     timestamptz not null,
    last_error  text,
    finished_at timestamptz,
    primary key (tenant_id, endpoint_id, event_id),
    foreign key (tenant_id, endpoint_id) references shop.webhook_endpoints,
    foreign key (tenant_id, event_id) references shop.outbox,
    check ((status = 'pending') = (finished_at is null))
);
comment on table shop.webhook_deliveries is 'One event for one endpoint: how often it was tried and what came of it. Dead ones are kept and can be tried again';
comment on column shop.webhook_deliveries.next_at is 'Not before then; moved ahead while an attempt is under way, so that one that died is repeated';
create index webhook_deliveries_due on shop.webhook_deliveries (next_at) where status = 'pending';
create index webhook_deliveries_in_order on shop.webhook_deliveries (tenant_id, endpoint_id, subject, seq) where status = 'pending';
grant select, insert, update (status, attempts, next_at, last_error, finished_at) on shop.webhook_deliveries to countersign_shop;
alter table shop.webhook_deliveries enable row level security;
create policy tenant on shop.webhook_deliveries to countersign_shop
    using (tenant_id = (select current_setting('app.tenant')::uuid)) with check (tenant_id = (select current_setting('app.tenant')::uuid));

-- Whoever looks for work has no tenant yet. These say where some is, and nothing else.
create function shop.tenants_with_untold_events(most int)
    returns setof uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select e.tenant_id from shop.webhook_endpoints e
    where e.status = 'active'
    group by e.tenant_id
    having exists (select from shop.outbox o where o.tenant_id = e.tenant_id and o.relayed_at is null and o.at >= min(e.created_at))
    limit most
$$;
comment on function shop.tenants_with_untold_events is 'Tenants with events that somebody wants to be told and of which no deliveries were made yet';
revoke all on function shop.tenants_with_untold_events from public;
grant execute on function shop.tenants_with_untold_events to countersign_shop;

create function shop.endpoints_with_due_deliveries(at timestamptz, most int)
    returns table (tenant uuid, endpoint uuid) language sql stable security definer set search_path = pg_catalog, shop as $$
    select distinct d.tenant_id, d.endpoint_id
    from (select d.tenant_id, d.endpoint_id from shop.webhook_deliveries d
          where d.status = 'pending' and d.next_at <= at
            -- Events of one subject wait for each other.
            and not exists (select from shop.webhook_deliveries e where e.tenant_id = d.tenant_id and e.endpoint_id = d.endpoint_id
                              and e.subject = d.subject and e.seq < d.seq and e.status = 'pending')
          order by d.next_at limit most) d
$$;
comment on function shop.endpoints_with_due_deliveries is 'Endpoints for which a delivery is due';
revoke all on function shop.endpoints_with_due_deliveries from public;
grant execute on function shop.endpoints_with_due_deliveries to countersign_shop;

-- The queue's own schema is made by its library, after these migrations; a function's body is read when it is called.
create function shop.add_job(task text, payload json, job_key text)
    returns void language plpgsql set search_path = pg_catalog as $$
begin
    -- One that waits or works does it already. One that has failed for good starts anew.
    if exists (select from graphile_worker._private_jobs j
               where j.key = add_job.job_key and (j.locked_at is not null or j.attempts < j.max_attempts)) then
        return;
    end if;
    perform graphile_worker.add_job(identifier => add_job.task, payload => add_job.payload, job_key => add_job.job_key, max_attempts => 5);
end
$$;
comment on function shop.add_job is 'Puts a job into the queue with the caller''s commit, unless one of that key is there';
revoke all on function shop.add_job from public;
grant execute on function shop.add_job to countersign_shop;
