-- A login that can only read, for `mcp-server --read-only`; and whether anybody could come in at all.

create procedure shop.let_read(login name)
    language plpgsql set search_path = pg_catalog as $$
declare
    of_server constant oid := 'countersign_shop'::regrole;
    each record;
    policy name;
begin
    execute format('grant usage on schema shop to %I', login);
    execute format('grant select on public._sqlx_migrations to %I', login);
    for each in
        select c.oid, c.relname from pg_class c
        where c.relnamespace = 'shop'::regnamespace and c.relkind in ('r', 'p', 'v') and has_table_privilege(of_server, c.oid, 'select')
    loop
        execute format('grant select on shop.%I to %I', each.relname, login);
    end loop;
    -- What confines the server to one tenant confines this login just so.
    for each in
        select c.relname, p.polname, p.polpermissive, pg_get_expr(p.polqual, p.polrelid) as condition
        from pg_policy p join pg_class c on c.oid = p.polrelid
        where c.relnamespace = 'shop'::regnamespace and of_server = any (p.polroles) and p.polcmd in ('*', 'r')
    loop
        policy := 'read_' || each.polname || '_' || login;
        execute format('drop policy if exists %I on shop.%I', policy, each.relname);
        execute format('create policy %I on shop.%I as %s for select to %I using (%s)', policy, each.relname,
            case when each.polpermissive then 'permissive' else 'restrictive' end, login, each.condition);
    end loop;
    for each in
        select p.oid::regprocedure as signature from pg_proc p
        where p.pronamespace = 'shop'::regnamespace and p.prokind = 'f' and p.provolatile <> 'v' and has_function_privilege(of_server, p.oid, 'execute')
    loop
        execute format('grant execute on function %s to %I', each.signature, login);
    end loop;
end $$;
comment on procedure shop.let_read is 'Gives a login what mcp-server --read-only needs, and no more. For the owner of the tables; to be called again after each upgrade';
revoke all on procedure shop.let_read from public;

create function shop.has_credentials() returns boolean
    language sql stable security definer set search_path = pg_catalog, shop as $$
    select exists (select from shop.api_keys where revoked_at is null) or exists (select from shop.people where disabled_at is null)
$$;
comment on function shop.has_credentials is 'Whether any business has a key or a person: what a server without local mode tells its operator at start';
revoke all on function shop.has_credentials from public;
grant execute on function shop.has_credentials to countersign_shop;
