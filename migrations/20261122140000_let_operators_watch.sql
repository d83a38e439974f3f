-- What operators watch: how much waits, across all businesses, as counts and one time. Nothing here names a business or a person.

create index confirmations_open on shop.confirmations (tenant_id, expires_at) where status = 'open';
create index webhook_deliveries_dead on shop.webhook_deliveries (tenant_id) where status = 'dead';

-- Read again and again while everything is busy, so every count stops at ten thousand and rests on an index. The queue's own schema is
-- made by its library, after these migrations; a function's body is read when it is called.
create function shop.operations(at timestamptz)
    returns table (
        outbox_waiting bigint, outbox_oldest_at timestamptz, deliveries_pending bigint, deliveries_dead bigint,
        jobs_ready bigint, jobs_running bigint, jobs_failed bigint, confirmations_open bigint, payments_open bigint
    )
    language plpgsql stable security definer set search_path = pg_catalog, shop as $$
begin
    return query
    -- Events that somebody wants to be told: those of a shop that tells nobody wait for nothing.
    with listening as materialized (
        select e.tenant_id, min(e.created_at) as since from shop.webhook_endpoints e where e.status = 'active' group by e.tenant_id
    )
    select
        (select count(*) from (
            select from listening l join shop.outbox o on o.tenant_id = l.tenant_id and o.relayed_at is null and o.at >= l.since
            limit 10000) w),
        (select min(w.at) from listening l cross join lateral (
            select o.at from shop.outbox o where o.tenant_id = l.tenant_id and o.relayed_at is null and o.at >= l.since
            order by o.at limit 1) w),
        (select count(*) from (select from shop.webhook_deliveries d where d.status = 'pending' limit 10000) d),
        (select count(*) from (select from shop.webhook_deliveries d where d.status = 'dead' limit 10000) d),
        (select count(*) from (
            select from graphile_worker._private_jobs j
            where j.locked_at is null and j.attempts < j.max_attempts and j.run_at <= now() limit 10000) j),
        (select count(*) from (
            select from graphile_worker._private_jobs j where j.locked_at is not null limit 10000) j),
        (select count(*) from (
            select from graphile_worker._private_jobs j
            where j.locked_at is null and j.attempts >= j.max_attempts limit 10000) j),
        (select count(*) from (
            select from shop.confirmations c where c.status = 'open' and c.expires_at > operations.at limit 10000) c),
        (select count(*) from (
            select from shop.payments p where p.status in ('pending', 'unknown') limit 10000) p);
end
$$;
comment on function shop.operations is 'How much waits, over all businesses: counts up to 10,000 each, for operators';
revoke all on function shop.operations from public;
grant execute on function shop.operations to countersign_shop;
