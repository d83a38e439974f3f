-- Schemas, roles and extensions: what every later migration stands on.
--
-- The roles belong to the whole server, so they may exist: made by another database's migration, by the embedded server, or by an
-- administrator because the login that migrates may not make roles (the program checks that first and prints the lines to run).

do $$
declare
  name text;
begin
  foreach name in array array['countersign_shop', 'countersign_agent'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin nosuperuser nobypassrls', name);
      exception
        -- Another database of this server is being migrated at the same time.
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end
$$;

create extension if not exists pg_trgm with schema public;
create extension if not exists unaccent with schema public;
create extension if not exists btree_gist with schema public;

create schema shop;
comment on schema shop is 'The business: stock, bills, payments, bookings. Only mcp-server reads and writes it.';
revoke all on schema shop from public;
grant usage on schema shop to countersign_shop;

create schema agent;
comment on schema agent is 'Conversations, runs and approvals. Only agent reads and writes it.';
revoke all on schema agent from public;
grant usage on schema agent to countersign_agent;

-- Servers upgraded from before version 15 let every login make tables in public.
revoke create on schema public from public;

-- Programs compare the applied version with their own at start; only the owner changes it.
grant select on table public._sqlx_migrations to countersign_shop, countersign_agent;
comment on table public._sqlx_migrations is 'Which migrations were applied, by the migration runner. Not a business table.';

create function shop.norm(t text) returns text
  language plpgsql immutable strict parallel safe
as $$
begin
  return pg_catalog.lower(public.unaccent('public.unaccent'::regdictionary, t));
end
$$;
comment on function shop.norm(text) is
  'A name as people mean it: lower case, without accents. Immutable, for indexes and generated columns: the dictionary is named, not found through search_path.';
revoke all on function shop.norm(text) from public;
grant execute on function shop.norm(text) to countersign_shop;
