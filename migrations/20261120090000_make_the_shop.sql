-- The business: what mcp-server alone reads and writes.
--
-- Every business table carries tenant_id, first in every key, and closes itself when no tenant is set. Movements and the audit log are
-- append-only by privilege. Names of constraints are mapped to answers by name: rename them with care.

-- Reference tables, the same for every tenant.

create table shop.currencies (
    code     text primary key check (code ~ '^[A-Z]{3}$'),
    exponent smallint not null check (exponent between 0 and 4)
);
comment on table shop.currencies is 'ISO 4217 currencies and the decimals of their minor unit; filled by the program that migrates';

create table shop.units (
    code      text primary key,
    dimension text not null check (dimension in ('mass', 'volume', 'count', 'length', 'time')),
    num       bigint not null check (num > 0),
    den       bigint not null check (den > 0)
);
comment on table shop.units is 'Units everybody has: one is num/den of its dimension''s base unit (g, ml, each, m, min)';

insert into shop.units (code, dimension, num, den) values
    ('g', 'mass', 1, 1), ('kg', 'mass', 1000, 1), ('lb', 'mass', 45359237, 100000),
    ('ml', 'volume', 1, 1), ('l', 'volume', 1000, 1),
    ('each', 'count', 1, 1), ('dozen', 'count', 12, 1),
    ('m', 'length', 1, 1),
    ('min', 'time', 1, 1), ('h', 'time', 60, 1);

insert into shop.currencies (code, exponent) values
    ('AED',2),('AFN',2),('ALL',2),('AMD',2),('AOA',2),('ARS',2),('AUD',2),('AWG',2),('AZN',2),('BAM',2),('BBD',2),('BDT',2),('BGN',2),
    ('BHD',3),('BIF',0),('BMD',2),('BND',2),('BOB',2),('BRL',2),('BSD',2),('BTN',2),('BWP',2),('BYN',2),('BZD',2),('CAD',2),('CDF',2),
    ('CHF',2),('CLP',0),('CNY',2),('COP',2),('CRC',2),('CUP',2),('CVE',2),('CZK',2),('DJF',0),('DKK',2),('DOP',2),('DZD',2),('EGP',2),
    ('ERN',2),('ETB',2),('EUR',2),('FJD',2),('FKP',2),('GBP',2),('GEL',2),('GHS',2),('GIP',2),('GMD',2),('GNF',0),('GTQ',2),('GYD',2),
    ('HKD',2),('HNL',2),('HTG',2),('HUF',2),('IDR',2),('ILS',2),('INR',2),('IQD',3),('IRR',2),('ISK',0),('JMD',2),('JOD',3),('JPY',0),
    ('KES',2),('KGS',2),('KHR',2),('KMF',0),('KPW',2),('KRW',0),('KWD',3),('KYD',2),('KZT',2),('LAK',2),('LBP',2),('LKR',2),('LRD',2),
    ('LSL',2),('LYD',3),('MAD',2),('MDL',2),('MGA',2),('MKD',2),('MMK',2),('MNT',2),('MOP',2),('MRU',2),('MUR',2),('MVR',2),('MWK',2),
    ('MXN',2),('MYR',2),('MZN',2),('NAD',2),('NGN',2),('NIO',2),('NOK',2),('NPR',2),('NZD',2),('OMR',3),('PAB',2),('PEN',2),('PGK',2),
    ('PHP',2),('PKR',2),('PLN',2),('PYG',0),('QAR',2),('RON',2),('RSD',2),('RUB',2),('RWF',0),('SAR',2),('SBD',2),('SCR',2),('SDG',2),
    ('SEK',2),('SGD',2),('SHP',2),('SLE',2),('SOS',2),('SRD',2),('SSP',2),('STN',2),('SVC',2),('SYP',2),('SZL',2),('THB',2),('TJS',2),
    ('TMT',2),('TND',3),('TOP',2),('TRY',2),('TTD',2),('TWD',2),('TZS',2),('UAH',2),('UGX',0),('USD',2),('UYU',2),('UZS',2),('VES',2),
    ('VND',0),('VUV',0),('WST',2),('XAF',0),('XCD',2),('XCG',2),('XOF',0),('XPF',0),('YER',2),('ZAR',2),('ZMW',2),('ZWG',2);

-- Tenants and their policies.

create table shop.tenants (
    id                       uuid primary key,
    name                     text not null check (length(name) between 1 and 120),
    currency                 text not null references shop.currencies,
    time_zone                text not null default 'UTC',
    locale                   text not null default 'en' check (locale in ('en', 'es')),
    tax_inclusive            boolean not null default true,
    allow_negative_stock     boolean not null default false,
    confirmation_ttl_seconds int not null default 300 check (confirmation_ttl_seconds between 10 and 86400),
    unasked_clients          text not null default 'page' check (unasked_clients in ('page', 'token', 'refuse')),
    demo                     boolean not null default false,
    created_at               timestamptz not null
);
comment on table shop.tenants is 'One business each';
comment on column shop.tenants.unasked_clients is 'How a client that cannot be asked gets its yes: on our page, by a token it passes back, or not at all';

create table shop.policies (
    tenant_id   uuid not null references shop.tenants,
    tool        text not null,
    ask         text not null default 'always' check (ask in ('always', 'above', 'never')),
    above_minor bigint check (above_minor >= 0),
    approver    text not null default 'self' check (approver in ('self', 'staff', 'owner')),
    primary key (tenant_id, tool),
    constraint policy_above_has_amount check ((ask = 'above') = (above_minor is not null)),
    constraint policy_never_not_for_corrections check (
        ask <> 'never' or tool not in ('refund_payment', 'billing_void_bill', 'billing_credit_bill', 'billing_write_off_bill'))
);
comment on table shop.policies is 'When a tool asks and who may answer, where a tenant differs from always and self';

-- People who buy.

create table shop.customers (
    tenant_id  uuid not null references shop.tenants,
    id         uuid not null,
    name       text not null check (length(name) between 1 and 120),
    name_norm  text not null generated always as (shop.norm(name)) stored,
    phone_e164 text check (phone_e164 ~ '^\+[1-9][0-9]{6,14}$'),
    email      text,
    locale     text,
    created_at timestamptz not null,
    deleted_at timestamptz,
    primary key (tenant_id, id)
);
comment on table shop.customers is 'People who buy; the name is a plain generated column because row level security cannot use an index over a function';
create unique index customers_phone on shop.customers (tenant_id, phone_e164) where phone_e164 is not null and deleted_at is null;
create index customers_name on shop.customers (tenant_id, name_norm);

-- The catalogue.

create table shop.items (
    tenant_id       uuid not null references shop.tenants,
    id              uuid not null,
    name            text not null check (length(name) between 1 and 80),
    name_norm       text not null generated always as (shop.norm(name)) stored,
    category        text not null default '' check (length(category) <= 40),
    category_norm   text not null generated always as (shop.norm(category)) stored,
    unit            text not null references shop.units,
    unit_price      numeric(20, 6) not null check (unit_price >= 0),
    tax_bp          int not null default 0 check (tax_bp between 0 and 100000),
    low_stock_level numeric(20, 6) check (low_stock_level >= 0),
    sku             text check (length(sku) between 1 and 40),
    version         bigint not null default 1,
    created_at      timestamptz not null,
    archived_at     timestamptz,
    primary key (tenant_id, id)
);
comment on table shop.items is 'What is sold';
comment on column shop.items.unit_price is 'Minor units of the tenant''s currency per one unit; fractions of a minor unit are kept';
comment on column shop.items.version is 'Grows with every change of the fields; together with the stock level''s seq it is the version a client sees';
create unique index items_name on shop.items (tenant_id, name_norm) where archived_at is null;
create unique index items_sku on shop.items (tenant_id, sku) where sku is not null and archived_at is null;
create index items_category on shop.items (tenant_id, category_norm, name_norm) where archived_at is null;

create table shop.item_aliases (
    tenant_id uuid not null,
    item_id   uuid not null,
    name      text not null check (length(name) between 1 and 80),
    name_norm text not null generated always as (shop.norm(name)) stored,
    locale    text not null default 'und' check (length(locale) between 2 and 35),
    primary key (tenant_id, item_id, name_norm),
    foreign key (tenant_id, item_id) references shop.items (tenant_id, id) on delete cascade
);
comment on table shop.item_aliases is 'Other names of items, per language: leche for Milk';
create index item_aliases_name on shop.item_aliases (tenant_id, name_norm);

create table shop.item_units (
    tenant_id uuid not null,
    item_id   uuid not null,
    unit      text not null check (length(unit) between 1 and 30),
    factor    numeric(20, 6) not null check (factor > 0),
    primary key (tenant_id, item_id, unit),
    foreign key (tenant_id, item_id) references shop.items (tenant_id, id) on delete cascade
);
comment on table shop.item_units is 'Units of one item; factor is how many of the item''s unit one is: bag = 25';

-- Stock: append-only movements and one checked level row per item.

create table shop.stock_levels (
    tenant_id      uuid not null,
    item_id        uuid not null,
    on_hand        numeric(20, 6) not null default 0,
    allow_negative boolean not null default false,
    seq            bigint not null default 0,
    primary key (tenant_id, item_id),
    foreign key (tenant_id, item_id) references shop.items (tenant_id, id),
    constraint stock_not_negative check (allow_negative or on_hand >= 0)
) with (fillfactor = 70);
comment on table shop.stock_levels is 'What is on hand: always the sum of the item''s movements, changed in the same statement';

create table shop.stock_movements (
    tenant_id        uuid not null,
    item_id          uuid not null,
    seq              bigint not null check (seq > 0),
    delta            numeric(20, 6) not null check (delta <> 0),
    balance_after    numeric(20, 6) not null,
    reason           text not null check (reason in ('opening', 'purchase', 'sale', 'return', 'count', 'waste', 'void')),
    entered_quantity numeric(20, 6) not null,
    entered_unit     text not null,
    bill_id          uuid,
    actor            text not null,
    at               timestamptz not null,
    primary key (tenant_id, item_id, seq),
    foreign key (tenant_id, item_id) references shop.stock_levels (tenant_id, item_id)
);
comment on table shop.stock_movements is 'Every change of stock, append-only: seq from 1 without a gap per item, balance_after the running sum';
create index stock_movements_bill on shop.stock_movements (tenant_id, bill_id) where bill_id is not null;

-- Bills.

create table shop.counters (
    tenant_id uuid not null references shop.tenants,
    series    text not null,
    last      bigint not null default 0,
    primary key (tenant_id, series)
) with (fillfactor = 50);
comment on table shop.counters is 'Last number given per series; taken last before commit, so that numbers have no gap';

create table shop.bills (
    tenant_id     uuid not null references shop.tenants,
    id            uuid not null,
    series        text not null default 'INV',
    number        bigint not null check (number > 0),
    status        text not null check (status in ('open', 'paid', 'void', 'uncollectible')),
    customer_id   uuid,
    customer_name text,
    currency      text not null references shop.currencies,
    tax_inclusive boolean not null,
    subtotal      bigint not null check (subtotal >= 0),
    discount      bigint not null default 0 check (discount >= 0),
    tax           bigint not null default 0 check (tax >= 0),
    total         bigint not null check (total >= 0),
    paid          bigint not null default 0,
    due_on        date,
    issued_at     timestamptz not null,
    issued_by     text not null,
    voided_at     timestamptz,
    void_reason   text,
    primary key (tenant_id, id),
    constraint bill_total check (total = subtotal - discount + case when tax_inclusive then 0 else tax end),
    constraint bill_paid_at_most_total check (paid >= 0 and paid <= total),
    constraint bill_void_unpaid check (status <> 'void' or paid = 0),
    constraint bill_paid_status check ((status = 'paid') = (paid = total and status not in ('void', 'uncollectible'))),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id)
);
comment on table shop.bills is 'Issued bills; only status, paid and voided_* ever change';
create unique index bill_number on shop.bills (tenant_id, series, number);
create index bills_newest on shop.bills (tenant_id, issued_at desc, id desc);
create index bills_open on shop.bills (tenant_id, customer_id) where status = 'open';

create table shop.bill_lines (
    tenant_id        uuid not null,
    bill_id          uuid not null,
    line_no          smallint not null check (line_no > 0),
    item_id          uuid not null,
    description      text not null,
    entered_quantity numeric(20, 6) not null check (entered_quantity > 0),
    entered_unit     text not null,
    quantity         numeric(20, 6) not null check (quantity > 0),
    unit             text not null,
    unit_price       numeric(20, 6) not null check (unit_price >= 0),
    gross            bigint not null,
    discount         bigint not null default 0,
    tax_bp           int not null default 0,
    tax              bigint not null default 0 check (tax >= 0),
    primary key (tenant_id, bill_id, line_no),
    foreign key (tenant_id, bill_id) references shop.bills (tenant_id, id),
    foreign key (tenant_id, item_id) references shop.items (tenant_id, id),
    constraint bill_line_gross check (gross = round(quantity * unit_price)::bigint),
    constraint bill_line_discount check (discount between 0 and gross)
);
comment on table shop.bill_lines is 'Lines as printed: totals recompute from them';
create index bill_lines_item on shop.bill_lines (tenant_id, item_id);

create table shop.payments (
    tenant_id   uuid not null references shop.tenants,
    id          uuid not null,
    bill_id     uuid not null,
    method      text not null check (method in ('cash')),
    amount      bigint not null check (amount > 0),
    currency    text not null references shop.currencies,
    received_by text not null,
    received_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, bill_id) references shop.bills (tenant_id, id)
);
comment on table shop.payments is 'Money taken over the counter with a bill';
create index payments_bill on shop.payments (tenant_id, bill_id);
create index payments_newest on shop.payments (tenant_id, received_at desc);

-- The machinery of calls.

create table shop.confirmations (
    tenant_id        uuid not null references shop.tenants,
    id               uuid not null,
    token_hash       bytea not null check (length(token_hash) = 32),
    tool             text not null,
    arguments        jsonb not null,
    arguments_digest bytea not null check (length(arguments_digest) = 32),
    question         jsonb not null,
    binding_digest   bytea not null check (length(binding_digest) = 32),
    requested_by     text not null,
    requested_role   text not null check (requested_role in ('customer', 'staff', 'owner')),
    approver         text not null check (approver in ('self', 'staff', 'owner')),
    locale           text not null,
    idempotency_key  text,
    status           text not null default 'open' check (status in ('open', 'done', 'failed', 'declined', 'expired', 'superseded')),
    answer           jsonb,
    decided_by       text,
    decided_via      text check (decided_via in ('elicitation', 'agent', 'page', 'client_asserted')),
    decided_at       timestamptz,
    replaced_by      uuid,
    created_at       timestamptz not null,
    expires_at       timestamptz not null,
    primary key (tenant_id, id),
    constraint confirmation_answer check ((status in ('done', 'failed')) = (answer is not null)),
    constraint confirmation_replaced check ((status = 'superseded') = (replaced_by is not null)),
    constraint confirmation_decided check ((status in ('done', 'failed', 'declined')) <= (decided_by is not null and decided_at is not null))
);
comment on table shop.confirmations is 'The question about one exact call: asked once, answered once';
create unique index confirmations_token on shop.confirmations (tenant_id, token_hash);
create index confirmations_age on shop.confirmations (tenant_id, expires_at);

create table shop.idempotency (
    tenant_id        uuid not null references shop.tenants,
    principal        text not null,
    key              text not null check (octet_length(key) between 1 and 255),
    tool             text not null,
    arguments_digest bytea not null check (length(arguments_digest) = 32),
    confirmation_id  uuid,
    answer           jsonb,
    created_at       timestamptz not null,
    expires_at       timestamptz not null,
    primary key (tenant_id, principal, key)
);
comment on table shop.idempotency is 'What a key was used for and what was answered; written in the transaction of the effect, kept 48 hours';
create index idempotency_age on shop.idempotency (tenant_id, expires_at);

create table shop.audit_log (
    tenant_id       uuid not null references shop.tenants,
    id              uuid not null,
    at              timestamptz not null,
    tool            text not null,
    requested_by    text not null,
    decided_by      text,
    decided_via     text,
    confirmation_id uuid,
    arguments       jsonb not null,
    subject         text not null,
    before          jsonb,
    after           jsonb,
    primary key (tenant_id, id)
);
comment on table shop.audit_log is 'Exactly one row per effect: who asked, who said yes, what it was before and after';
create index audit_newest on shop.audit_log (tenant_id, at desc, id desc);
create unique index audit_once_per_confirmation on shop.audit_log (tenant_id, confirmation_id) where confirmation_id is not null;

-- Who may touch what. Nothing may be deleted but what has lapsed; movements, lines, payments and the audit log may not even be changed.

grant select on shop.currencies, shop.units to countersign_shop;
grant select on shop.tenants, shop.policies to countersign_shop;
grant select, insert, update on shop.customers, shop.items, shop.stock_levels, shop.counters, shop.bills to countersign_shop;
grant select, insert, update, delete on shop.item_aliases, shop.item_units, shop.idempotency, shop.confirmations to countersign_shop;
grant select, insert on shop.stock_movements, shop.bill_lines, shop.payments, shop.audit_log to countersign_shop;

do $$
declare t record;
begin
    for t in
        select c.relname as name, case when c.relname = 'tenants' then 'id' else 'tenant_id' end as col
        from pg_catalog.pg_class c
        where c.relnamespace = 'shop'::regnamespace and c.relkind = 'r' and c.relname not in ('currencies', 'units')
    loop
        execute format('alter table shop.%I enable row level security', t.name);
        execute format(
            'create policy tenant on shop.%I to countersign_shop using (%I = (select current_setting(''app.tenant'')::uuid)) with check (%I = (select current_setting(''app.tenant'')::uuid))',
            t.name, t.col, t.col);
    end loop;
end $$;

-- Sweepers have no tenant yet. This one function tells them which tenants have something lapsed, and nothing else.
create function shop.tenants_with_lapsed_rows(at timestamptz, most int)
    returns setof uuid language sql stable security definer set search_path = pg_catalog, shop as $$
    select t.id from shop.tenants t
    where exists (select 1 from shop.idempotency i where i.tenant_id = t.id and i.expires_at < at)
       or exists (select 1 from shop.confirmations c where c.tenant_id = t.id and c.status = 'open' and c.expires_at < at)
    limit most
$$;
comment on function shop.tenants_with_lapsed_rows is 'Tenants whose idempotency keys or open questions have lapsed; for the sweeper, which then works tenant by tenant';
revoke all on function shop.tenants_with_lapsed_rows from public;
grant execute on function shop.tenants_with_lapsed_rows to countersign_shop;
