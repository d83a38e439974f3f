-- What was told to others is kept for 90 days. After that nobody asks what became of a delivery, and a busy shop writes an event per effect.

-- Which events are old. A summary per range of pages: it costs a write nothing, and events are written in the order of their time.
create index outbox_age on shop.outbox using brin (at) with (pages_per_range = 32, autosummarize = on);
create index webhook_deliveries_event on shop.webhook_deliveries (tenant_id, event_id);

-- Looks over all businesses, because old events are found by their age alone, and takes only what lies that far back: whoever may call it
-- can forget nothing else. What still waits for somebody stays, however old it is.
create function shop.forget_told_events(at timestamptz, most int)
    returns int language sql security definer set search_path = pg_catalog, shop as $$
    with old as materialized (
        select o.tenant_id, o.id from shop.outbox o
        where o.at < least(forget_told_events.at, now()) - interval '90 days'
          and not exists (select from shop.webhook_deliveries d
                          where d.tenant_id = o.tenant_id and d.event_id = o.id
                            and (d.status = 'pending' or d.finished_at >= least(forget_told_events.at, now()) - interval '90 days'))
          and (o.relayed_at is not null
               or not exists (select from shop.webhook_endpoints e
                              where e.tenant_id = o.tenant_id and e.status = 'active' and e.created_at <= o.at))
        limit most
        for update of o skip locked
    ), undelivered as (
        delete from shop.webhook_deliveries d using old where d.tenant_id = old.tenant_id and d.event_id = old.id
    ), forgotten as (
        delete from shop.outbox o using old where o.tenant_id = old.tenant_id and o.id = old.id returning 1
    )
    select count(*)::int from forgotten
$$;
comment on function shop.forget_told_events is 'Deletes events that happened more than 90 days ago and wait for nobody, with their deliveries; says how many';
revoke all on function shop.forget_told_events from public;
grant execute on function shop.forget_told_events to countersign_shop;
