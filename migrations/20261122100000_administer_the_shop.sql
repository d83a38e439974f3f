-- Sessions that ended a week ago are forgotten with whatever else has lapsed.

create or replace function shop.tenants_with_lapsed_rows(at timestamptz, most int)
    returns setof uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select t.id from shop.tenants t
    where exists (select 1 from shop.idempotency i where i.tenant_id = t.id and i.expires_at < at)
       or exists (select 1 from shop.confirmations c where c.tenant_id = t.id and c.status = 'open' and c.expires_at < at)
       or exists (select 1 from shop.sessions s where s.tenant_id = t.id and s.expires_at < at - interval '7 days')
    limit most
$$;
comment on function shop.tenants_with_lapsed_rows is 'Tenants whose idempotency keys, open questions or sessions have lapsed; for the sweeper, which then works tenant by tenant';
