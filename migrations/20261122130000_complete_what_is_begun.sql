-- What somebody has begun to type is completed from the names that begin so, however many there are.

-- Row level security keeps `like` from reaching an index. These functions stand behind it, as `names_alike` does: they look only into
-- the tenant that is set, and tell names. A pattern that is anchored has its first letter as a trigram, so one letter is enough for the
-- index; what is left out beyond `most` is said by the caller.
create function shop.beginning(asked text) returns text
    language sql immutable strict parallel safe set search_path = pg_catalog, shop as $$
    select replace(replace(replace(shop.norm($1), '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;
comment on function shop.beginning is 'The pattern of names that begin so, accents and case aside';

create function shop.items_beginning(of_tenant uuid, asked text, most int) returns table (name text)
    language sql stable security definer set search_path = pg_catalog, shop as $$
    select found.name from (
        select i.name, i.name_norm from shop.items i
        where i.tenant_id = $1 and $1 = current_setting('app.tenant')::uuid and i.archived_at is null
          and i.name_norm like shop.beginning($2)
        limit $3
    ) found order by found.name_norm
$$;
comment on function shop.items_beginning is 'Names of items on sale that begin so, of the tenant that is set, in order';

create function shop.customers_beginning(of_tenant uuid, asked text, most int) returns table (name text)
    language sql stable security definer set search_path = pg_catalog, shop as $$
    select found.name from (
        select c.name, c.name_norm from shop.customers c
        where c.tenant_id = $1 and $1 = current_setting('app.tenant')::uuid and c.deleted_at is null
          and c.name_norm like shop.beginning($2)
        limit $3
    ) found order by found.name_norm
$$;
comment on function shop.customers_beginning is 'Names of customers that begin so, of the tenant that is set, in order';

revoke all on function shop.beginning, shop.items_beginning, shop.customers_beginning from public;
grant execute on function shop.beginning, shop.items_beginning, shop.customers_beginning to countersign_shop;
