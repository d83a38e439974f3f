-- Who may call: people and how they log in, keys of programs, sessions. `mcp-server` alone reads and writes them; the agent asks it.

alter table shop.tenants
    add column handle       text constraint tenants_handle_form check (handle ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    add column suspended_at timestamptz;
comment on column shop.tenants.handle is 'The business''s name at log-in and in addresses; null for one nobody logs in to';
comment on column shop.tenants.suspended_at is 'Since when nobody is let in; what is there stays';
-- Of tenants themselves: the one index that cannot name a tenant first.
create unique index tenants_handle on shop.tenants (handle);
update shop.tenants set handle = 'demo' where id = '01990000-0000-7000-8000-000000000001';

create table shop.people (
    tenant_id      uuid not null references shop.tenants,
    id             uuid not null,
    subject        text not null check (subject ~ '^[a-z0-9][a-z0-9._@+-]{0,79}$'),
    name           text not null check (length(name) between 1 and 80),
    role           text not null check (role in ('owner', 'staff', 'customer')),
    customer_id    uuid,
    scopes         text[] not null default '{all:commit,admin}',
    password_hash  text,
    failed_logins  int not null default 0,
    locked_until   timestamptz,
    issuer         text check (length(issuer) between 1 and 255),
    issuer_subject text check (length(issuer_subject) between 1 and 255),
    created_at     timestamptz not null,
    disabled_at    timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    constraint people_customer check ((role = 'customer') = (customer_id is not null)),
    constraint people_issuer_whole check ((issuer is null) = (issuer_subject is null))
);
comment on table shop.people is 'People who log in, of a business each';
comment on column shop.people.subject is 'The name at log-in, which questions, audit and tokens carry; never given to another person';
comment on column shop.people.scopes is 'How far the person may reach within the role';
comment on column shop.people.password_hash is 'Argon2id in PHC form; null for whoever logs in elsewhere';
comment on column shop.people.issuer_subject is 'The person''s `sub` at the authorization server that `issuer` names';
create unique index people_subject on shop.people (tenant_id, subject);
create unique index people_issuer on shop.people (tenant_id, issuer, issuer_subject) where issuer is not null;

create table shop.api_keys (
    tenant_id    uuid not null references shop.tenants,
    id           uuid not null,
    name         text not null check (length(name) between 1 and 80),
    secret_hash  bytea not null check (length(secret_hash) = 32),
    role         text not null check (role in ('owner', 'staff', 'customer')),
    customer_id  uuid,
    scopes       text[] not null,
    created_by   text not null,
    created_at   timestamptz not null,
    expires_at   timestamptz check (expires_at > created_at),
    revoked_at   timestamptz,
    last_used_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    constraint api_keys_customer check ((role = 'customer') = (customer_id is not null))
);
comment on table shop.api_keys is 'Keys of programs that call the tools; a key''s principal is `key:<name>`';
comment on column shop.api_keys.secret_hash is 'SHA-256 of the key''s 256 random bits, which are shown once and kept nowhere';
comment on column shop.api_keys.last_used_at is 'To about a minute';
create unique index api_keys_name on shop.api_keys (tenant_id, name);

create table shop.sessions (
    tenant_id  uuid not null references shop.tenants,
    id         uuid not null,
    token_hash bytea not null check (length(token_hash) = 32),
    person_id  uuid not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at   timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, person_id) references shop.people (tenant_id, id)
);
comment on table shop.sessions is 'Log-ins of people on our pages';
comment on column shop.sessions.token_hash is 'SHA-256 of the token''s 256 random bits';
create index sessions_person on shop.sessions (tenant_id, person_id) where ended_at is null;
create index sessions_expires on shop.sessions (tenant_id, expires_at);

-- What a customer asked for is done as that customer, whoever says yes to it.
alter table shop.confirmations add column requested_customer uuid;
comment on column shop.confirmations.requested_customer is 'The customer who asked, where a customer asked';

grant insert, update on shop.tenants to countersign_shop;
grant insert, update, delete on shop.policies to countersign_shop;
grant select, insert, update on shop.people, shop.api_keys to countersign_shop;
grant select, insert, update, delete on shop.sessions to countersign_shop;
do $$
declare t text;
begin
    foreach t in array array['people', 'api_keys', 'sessions']
    loop
        execute format('alter table shop.%I enable row level security', t);
        execute format(
            'create policy tenant on shop.%I to countersign_shop using (tenant_id = (select current_setting(''app.tenant'')::uuid)) with check (tenant_id = (select current_setting(''app.tenant'')::uuid))',
            t);
    end loop;
end $$;

create function shop.tenant_of_handle(asked text) returns uuid
    language sql stable security definer set search_path = pg_catalog, shop as $$
    select id from shop.tenants where handle = $1
$$;
comment on function shop.tenant_of_handle is 'The business a person names at log-in, before any tenant is known';
create function shop.all_tenants(after uuid, most int)
    returns table (id uuid, handle text, name text, currency text, created_at timestamptz, suspended_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, shop as $$
    select t.id, t.handle, t.name, t.currency, t.created_at, t.suspended_at from shop.tenants t
    where $1 is null or t.id > $1 order by t.id limit least($2, 1000)
$$;
comment on function shop.all_tenants is 'The businesses, for the operator: a page at a time';
revoke all on function shop.tenant_of_handle, shop.all_tenants from public;
grant execute on function shop.tenant_of_handle, shop.all_tenants to countersign_shop;
