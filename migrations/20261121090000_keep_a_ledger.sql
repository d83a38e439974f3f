-- Money: a ledger in double entry, payments with a life of their own, credit notes.
--
-- Transfers never change and are never deleted; what was wrong is corrected by another transfer. An account's counters are the sums of
-- its transfers, changed in the same statement. Names of constraints are mapped to answers by name: rename them with care.

-- An account is found without looking: its id follows from what it is. mcp-server/src/ledger.rs computes the same.
create function shop.ledger_account_id(tenant uuid, code text, customer uuid, currency text)
    returns uuid language sql immutable parallel safe as $$
    select encode(set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid
    from (select substring(sha256(convert_to(
              'ledger account ' || tenant || ' ' || code || ' ' || coalesce(customer::text, '-') || ' ' || currency, 'UTF8')) for 16) as h) hash
$$;
comment on function shop.ledger_account_id is 'The id of a ledger account: tenant, code, customer (null for the shop''s own) and currency, hashed';
revoke all on function shop.ledger_account_id from public;
grant execute on function shop.ledger_account_id to countersign_shop;

create table shop.ledger_accounts (
    tenant_id       uuid not null references shop.tenants,
    id              uuid not null,
    code            text not null check (code ~ '^[a-z_]+(:[a-z_]+)?$'),
    kind            text not null check (kind in ('asset', 'liability', 'income', 'contra_income', 'expense')),
    currency        text not null references shop.currencies,
    customer_id     uuid,
    floored         boolean not null default false,
    debits_posted   bigint not null default 0 check (debits_posted >= 0),
    credits_posted  bigint not null default 0 check (credits_posted >= 0),
    debits_pending  bigint not null default 0 check (debits_pending >= 0),
    credits_pending bigint not null default 0 check (credits_pending >= 0),
    primary key (tenant_id, id),
    constraint ledger_account_currency unique (tenant_id, id, currency),
    foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    constraint ledger_floor check (not floored or debits_posted + debits_pending <= credits_posted)
) with (fillfactor = 50);
comment on table shop.ledger_accounts is 'Where money stands: the shop''s own accounts, and what each customer owes (receivable) and has with us (wallet)';
comment on column shop.ledger_accounts.floored is 'It cannot be taken from below zero, what is pending included: wallets and money that nobody has claimed';
create index ledger_accounts_customer on shop.ledger_accounts (tenant_id, customer_id) where customer_id is not null;

create table shop.ledger_transfers (
    tenant_id      uuid not null references shop.tenants,
    id             uuid not null,
    group_id       uuid not null,
    debit_account  uuid not null,
    credit_account uuid not null,
    amount         bigint not null check (amount > 0),
    currency       text not null,
    state          text not null check (state in ('posted', 'pending', 'post_pending', 'void_pending', 'expire_pending')),
    pending_id     uuid,
    expires_at     timestamptz,
    reverses       uuid,
    reason         text not null check (reason in
                       ('sale', 'tax', 'payment', 'top_up', 'advance', 'allocation', 'refund', 'credit', 'credit_tax', 'write_off', 'void', 'fee')),
    bill_id        uuid,
    payment_id     uuid,
    actor          text not null,
    at             timestamptz not null,
    primary key (tenant_id, id),
    constraint transfer_between_two check (debit_account <> credit_account),
    constraint transfer_resolves check ((state in ('post_pending', 'void_pending', 'expire_pending')) = (pending_id is not null)),
    constraint transfer_expires check (expires_at is null or state = 'pending'),
    foreign key (tenant_id, debit_account, currency) references shop.ledger_accounts (tenant_id, id, currency),
    foreign key (tenant_id, credit_account, currency) references shop.ledger_accounts (tenant_id, id, currency),
    foreign key (tenant_id, pending_id) references shop.ledger_transfers (tenant_id, id),
    foreign key (tenant_id, reverses) references shop.ledger_transfers (tenant_id, id)
);
comment on table shop.ledger_transfers is 'Every movement of money, append-only: one account gives (credit), one takes (debit), one amount; a pending one is resolved once by another row';
create unique index transfer_resolved_once on shop.ledger_transfers (tenant_id, pending_id) where pending_id is not null;
create unique index transfer_reversed_once on shop.ledger_transfers (tenant_id, reverses) where reverses is not null;
create index transfers_newest on shop.ledger_transfers (tenant_id, at desc, id desc);
create index transfers_debit on shop.ledger_transfers (tenant_id, debit_account, at desc, id desc);
create index transfers_credit on shop.ledger_transfers (tenant_id, credit_account, at desc, id desc);
create index transfers_bill on shop.ledger_transfers (tenant_id, bill_id) where bill_id is not null;
create index transfers_payment on shop.ledger_transfers (tenant_id, payment_id) where payment_id is not null;

-- Bills can be credited: a credit note is a bill of its own series that names the one it credits.

alter table shop.bills
    add column kind text not null default 'invoice' check (kind in ('invoice', 'credit_note')),
    add column credited bigint not null default 0 check (credited >= 0),
    add column credits_bill uuid,
    add column goods_returned boolean not null default false,
    add column written_off_at timestamptz,
    add column write_off_reason text,
    add foreign key (tenant_id, credits_bill) references shop.bills (tenant_id, id),
    drop constraint bill_paid_at_most_total,
    drop constraint bill_void_unpaid,
    drop constraint bill_paid_status,
    add constraint bill_settled_at_most_total check (paid >= 0 and paid + credited <= total),
    add constraint bill_void_unpaid check (status <> 'void' or (paid = 0 and credited = 0)),
    add constraint bill_credit_note check (
        (kind = 'credit_note') = (credits_bill is not null)
        and (kind = 'invoice' or (status = 'paid' and paid = 0 and credited = 0))
        and (kind = 'credit_note' or not goods_returned)),
    add constraint bill_paid_status check (
        kind = 'credit_note' or status in ('void', 'uncollectible') or (status = 'paid') = (paid + credited = total)),
    add constraint bill_written_off check ((status = 'uncollectible') <= (paid + credited < total));
comment on table shop.bills is 'Issued bills and credit notes; only status, paid, credited, voided_* and written_off_* ever change';
comment on column shop.bills.goods_returned is 'On a credit note: its goods went back to stock';
create index bills_credit_notes on shop.bills (tenant_id, credits_bill) where credits_bill is not null;

alter table shop.bill_lines add column credits_line smallint;
comment on column shop.bill_lines.credits_line is 'On a credit note: the line of the credited bill';

-- Payments: what was asked of somebody, or is given back, and what came of it.

alter table shop.payments
    drop constraint payments_method_check,
    alter column bill_id drop not null,
    add column number bigint,
    add column direction text not null default 'collect' check (direction in ('collect', 'refund', 'top_up')),
    add column status text not null default 'succeeded' check (status in ('pending', 'succeeded', 'failed', 'expired', 'unknown')),
    add column customer_id uuid,
    add column phone_e164 text check (phone_e164 ~ '^\+[1-9][0-9]{6,14}$'),
    add column provider text check (provider ~ '^[a-z_]+$'),
    add column provider_ref text check (length(provider_ref) between 1 and 255),
    add column refunds uuid,
    add column refunded bigint not null default 0,
    add column credit_note_id uuid,
    add column transfer_id uuid,
    add column failure text,
    add column expires_at timestamptz,
    add column settled_at timestamptz;

-- What is there was cash over the counter, taken with its bill.
update shop.payments p set
    settled_at = p.received_at,
    customer_id = (select b.customer_id from shop.bills b where b.tenant_id = p.tenant_id and b.id = p.bill_id),
    number = n.number
from (select tenant_id, id, row_number() over (partition by tenant_id order by received_at, id) as number from shop.payments) n
where n.tenant_id = p.tenant_id and n.id = p.id;
insert into shop.counters (tenant_id, series, last) select tenant_id, 'PAY', max(number) from shop.payments group by tenant_id;

alter table shop.payments
    alter column number set not null,
    add foreign key (tenant_id, customer_id) references shop.customers (tenant_id, id),
    add foreign key (tenant_id, refunds) references shop.payments (tenant_id, id),
    add foreign key (tenant_id, credit_note_id) references shop.bills (tenant_id, id),
    add foreign key (tenant_id, transfer_id) references shop.ledger_transfers (tenant_id, id),
    add constraint payment_method check (method in ('cash', 'wallet', 'mobile_money', 'card')),
    add constraint payment_number check (number > 0),
    add constraint payment_provider check ((method in ('mobile_money', 'card')) = (provider is not null)),
    add constraint payment_at_once check (provider is not null or (status = 'succeeded' and transfer_id is null)),
    add constraint payment_settled check ((status = 'succeeded') = (settled_at is not null)),
    add constraint payment_refunded_at_most check (refunded between 0 and amount),
    add constraint payment_is_for check (
        case direction when 'collect' then bill_id is not null or customer_id is not null
                       when 'top_up' then customer_id is not null and bill_id is null and method <> 'wallet'
                       else true end),
    add constraint payment_gives_back check ((direction = 'refund') = (refunds is not null)),
    add constraint payment_credit_note check (credit_note_id is null or direction = 'refund');
comment on table shop.payments is 'Money asked of somebody or given back: over the counter at once, by a provider when it says so';
comment on column shop.payments.bill_id is 'The bill that was named; what was paid stands in payment_allocations';
comment on column shop.payments.received_at is 'When it was begun; settled_at is when the money moved';
comment on column shop.payments.received_by is 'Who began it';
comment on column shop.payments.refunded is 'How much of it has been given back, or is on its way back';
comment on column shop.payments.transfer_id is 'The pending transfer of a payment that leaves the process';
create unique index payment_number on shop.payments (tenant_id, number);
create unique index payment_provider_ref on shop.payments (tenant_id, provider, provider_ref) where provider_ref is not null;
create index payments_settled on shop.payments (tenant_id, settled_at desc) where settled_at is not null;
create index payments_open on shop.payments (tenant_id, expires_at) where status in ('pending', 'unknown');
create index payments_customer on shop.payments (tenant_id, customer_id, received_at desc) where customer_id is not null;
create index payments_refunds on shop.payments (tenant_id, refunds) where refunds is not null;

create table shop.payment_allocations (
    tenant_id  uuid not null references shop.tenants,
    payment_id uuid not null,
    bill_id    uuid not null,
    amount     bigint not null check (amount > 0),
    primary key (tenant_id, payment_id, bill_id),
    foreign key (tenant_id, payment_id) references shop.payments (tenant_id, id),
    foreign key (tenant_id, bill_id) references shop.bills (tenant_id, id)
);
comment on table shop.payment_allocations is 'Which bills a payment paid, or a refund took its money from, append-only';
create index payment_allocations_bill on shop.payment_allocations (tenant_id, bill_id);
insert into shop.payment_allocations (tenant_id, payment_id, bill_id, amount) select tenant_id, id, bill_id, amount from shop.payments;

-- The ledger of what was there before it.

create temporary table opening as
    select b.tenant_id, b.id as bill_id, null::uuid as payment_id, 'receivable' as debit, b.customer_id as debit_customer, 'sales' as credit,
           null::uuid as credit_customer, b.total - b.tax as amount, b.currency, 'sale' as reason, b.issued_by as actor, b.issued_at as at
    from shop.bills b where b.status <> 'void' and b.total > b.tax
    union all
    select b.tenant_id, b.id, null, 'receivable', b.customer_id, 'tax', null, b.tax, b.currency, 'tax', b.issued_by, b.issued_at
    from shop.bills b where b.status <> 'void' and b.tax > 0
    union all
    select p.tenant_id, p.bill_id, p.id, 'cash', null, 'receivable', b.customer_id, p.amount, p.currency, 'payment', p.received_by, p.received_at
    from shop.payments p join shop.bills b on b.tenant_id = p.tenant_id and b.id = p.bill_id
    union all
    select b.tenant_id, b.id, null, 'bad_debt', null, 'receivable', b.customer_id, b.total - b.paid, b.currency, 'write_off', b.issued_by, b.issued_at
    from shop.bills b where b.status = 'uncollectible' and b.total > b.paid;

insert into shop.ledger_accounts (tenant_id, id, code, kind, currency, customer_id, debits_posted, credits_posted)
    select tenant_id, shop.ledger_account_id(tenant_id, code, customer, currency), code,
           case code when 'sales' then 'income' when 'tax' then 'liability' when 'bad_debt' then 'expense' else 'asset' end,
           currency, customer, sum(debit), sum(credit)
    from (select tenant_id, debit as code, debit_customer as customer, currency, amount as debit, 0 as credit from opening
          union all
          select tenant_id, credit, credit_customer, currency, 0, amount from opening) side
    group by tenant_id, code, customer, currency;

insert into shop.ledger_transfers (tenant_id, id, group_id, debit_account, credit_account, amount, currency, state, reason, bill_id, payment_id, actor, at)
    select tenant_id, gen_random_uuid(), coalesce(payment_id, bill_id), shop.ledger_account_id(tenant_id, debit, debit_customer, currency),
           shop.ledger_account_id(tenant_id, credit, credit_customer, currency), amount, currency, 'posted', reason, bill_id, payment_id, actor, at
    from opening;
drop table opening;

-- Who may touch what: transfers and allocations never change, and of a payment only what becomes of it.

grant select, insert, update on shop.ledger_accounts to countersign_shop;
grant select, insert on shop.ledger_transfers, shop.payment_allocations to countersign_shop;
grant update (status, provider_ref, refunded, failure, expires_at, settled_at) on shop.payments to countersign_shop;

do $$
declare name text;
begin
    foreach name in array array['ledger_accounts', 'ledger_transfers', 'payment_allocations'] loop
        execute format('alter table shop.%I enable row level security', name);
        execute format(
            'create policy tenant on shop.%I to countersign_shop using (tenant_id = (select current_setting(''app.tenant'')::uuid)) with check (tenant_id = (select current_setting(''app.tenant'')::uuid))',
            name);
    end loop;
end $$;
