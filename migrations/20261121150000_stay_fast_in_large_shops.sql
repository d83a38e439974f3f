-- What runs low and what is nearly spelt right are found through indexes, however much a shop sells.

create extension if not exists btree_gin with schema public;

-- The level knows from where on the item runs low. A flag of its own, because an index over on_hand itself would make every movement
-- touch it; the flag changes only when the level is crossed.
alter table shop.stock_levels add column low_at numeric(20, 6);
comment on column shop.stock_levels.low_at is 'The item''s low_stock_level, kept equal by whoever changes that';
update shop.stock_levels l set low_at = i.low_stock_level
from shop.items i where i.tenant_id = l.tenant_id and i.id = l.item_id and i.low_stock_level is not null;
alter table shop.stock_levels add column low boolean not null generated always as (low_at is not null and on_hand <= low_at) stored;
create index stock_low on shop.stock_levels (tenant_id, item_id) where low;

create index items_alike on shop.items using gin (tenant_id, name_norm public.gin_trgm_ops) where archived_at is null;
create index item_aliases_alike on shop.item_aliases using gin (tenant_id, name_norm public.gin_trgm_ops);

-- Ali is found by a first name alone, too.
alter table shop.customers add column first_norm text not null generated always as (split_part(shop.norm(name), ' ', 1)) stored;
create index customers_first_name on shop.customers (tenant_id, first_norm) where deleted_at is null;

-- Row level security keeps operators that could leak from reaching an index. This function stands behind it: it looks only into the
-- tenant that is set, and tells names and ids.
create function shop.names_alike(of_tenant uuid, asked text, most int)
    returns table (id uuid, name text) language sql stable security definer set search_path = pg_catalog, shop as $$
    with asked as materialized (
        select shop.norm($2) as norm where $1 = current_setting('app.tenant')::uuid
    ), whole as materialized (
        (select i.id, i.name, i.name_norm from shop.items i
         where i.tenant_id = $1 and i.archived_at is null and i.name_norm operator(public.%) (select norm from asked) limit 1000)
        union all
        (select a.item_id, a.name, a.name_norm from shop.item_aliases a
         join shop.items i on i.tenant_id = $1 and i.id = a.item_id and i.archived_at is null
         where a.tenant_id = $1 and a.name_norm operator(public.%) (select norm from asked) limit 1000)
    ), part as materialized (
        -- Only when no name is alike as a whole; of a word that thousands have in their names, some of them.
        (select i.id, i.name, i.name_norm from shop.items i
         where not exists (select from whole)
           and i.tenant_id = $1 and i.archived_at is null and i.name_norm operator(public.%>) (select norm from asked) limit 1000)
        union all
        (select a.item_id, a.name, a.name_norm from shop.item_aliases a
         join shop.items i on i.tenant_id = $1 and i.id = a.item_id and i.archived_at is null
         where not exists (select from whole)
           and a.tenant_id = $1 and a.name_norm operator(public.%>) (select norm from asked) limit 1000)
    ), near as (
        select * from whole union all select * from part
    )
    select n.id, n.name from near n cross join asked
    order by greatest(public.similarity(asked.norm, n.name_norm), public.word_similarity(asked.norm, n.name_norm)) desc, n.id
    limit $3
$$;
comment on function shop.names_alike is 'Names of items on sale that are nearly this one, of the tenant that is set, best first';
revoke all on function shop.names_alike from public;
grant execute on function shop.names_alike to countersign_shop;

create index customers_alike on shop.customers using gin (tenant_id, name_norm public.gin_trgm_ops) where deleted_at is null;
create function shop.customers_alike(of_tenant uuid, asked text, most int)
    returns table (id uuid) language sql stable security definer set search_path = pg_catalog, shop as $$
    with asked as materialized (
        select shop.norm($2) as norm where $1 = current_setting('app.tenant')::uuid
    ), whole as materialized (
        select c.id, c.name_norm from shop.customers c
        where c.tenant_id = $1 and c.deleted_at is null and c.name_norm operator(public.%) (select norm from asked) limit 1000
    ), part as materialized (
        -- Only when no name is alike as a whole; of a word that thousands have in their names, some of them.
        select c.id, c.name_norm from shop.customers c
        where not exists (select from whole)
          and c.tenant_id = $1 and c.deleted_at is null and c.name_norm operator(public.%>) (select norm from asked) limit 1000
    ), near as (
        select * from whole union all select * from part
    )
    select n.id from near n cross join asked
    order by greatest(public.similarity(asked.norm, n.name_norm), public.word_similarity(asked.norm, n.name_norm)) desc, n.id
    limit $3
$$;
comment on function shop.customers_alike is 'Customers whose names are nearly this one, of the tenant that is set, best first';
revoke all on function shop.customers_alike from public;
grant execute on function shop.customers_alike to countersign_shop;
