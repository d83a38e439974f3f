-- The agent's own memory: conversations, runs, approvals. agent alone reads and writes it.

create table agent.agent_sessions (
    tenant_id            uuid not null,
    id                   uuid not null,
    session_id           text not null check (session_id ~ '^[A-Za-z0-9._:-]{1,128}$'),
    principal            text not null,
    channel              text not null default 'web' check (channel in ('web', 'api', 'cli')),
    status               text not null default 'active' check (status in ('active', 'escalated', 'ended')),
    agent_id             uuid,
    conversation_history jsonb not null default '[]',
    metadata             jsonb not null default '{}',
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    primary key (tenant_id, id),
    constraint one_session_of_a_name unique (tenant_id, session_id)
);
comment on table agent.agent_sessions is 'Conversations; conversation_history is the window a model sees, call and result never parted';
create index agent_sessions_age on agent.agent_sessions (tenant_id, updated_at);

create table agent.runs (
    tenant_id      uuid not null,
    id             uuid not null,
    session_id     uuid not null,
    message_id     uuid not null,
    status         text not null check (status in ('queued', 'running', 'waiting', 'done', 'failed', 'cancelled')),
    principal      text not null,
    principal_role text not null check (principal_role in ('customer', 'staff', 'owner')),
    machine        jsonb not null,
    last_seq       bigint not null default 0,
    lease_owner    uuid,
    lease_until    timestamptz,
    resumptions    int not null default 0,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    finished_at    timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, session_id) references agent.agent_sessions (tenant_id, id) on delete cascade,
    constraint run_lease check ((status = 'running') = (lease_owner is not null and lease_until is not null))
);
comment on table agent.runs is 'Pieces of work: the state machine of each, who holds it and until when';
create unique index one_running_run_per_session on agent.runs (tenant_id, session_id) where status = 'running';
create index runs_of_session on agent.runs (tenant_id, session_id, created_at desc);
create index runs_active on agent.runs (tenant_id, principal) where status in ('queued', 'running');
create index runs_to_do on agent.runs (status, lease_until) where status in ('queued', 'running');

create table agent.agent_messages (
    tenant_id     uuid not null,
    id            uuid not null,
    session_id    uuid not null,
    run_id        uuid,
    role          text not null check (role in ('user', 'assistant')),
    text          text not null,
    principal     text,
    request_key   text check (length(request_key) between 1 and 255),
    after_seq     bigint,
    input_tokens  bigint not null default 0,
    output_tokens bigint not null default 0,
    cost_usd_micros bigint not null default 0,
    created_at    timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, session_id) references agent.agent_sessions (tenant_id, id) on delete cascade,
    constraint message_of_a_person check ((role = 'user') = (principal is not null and run_id is not null and after_seq is not null))
);
comment on table agent.agent_messages is 'The whole transcript, append-only, with tokens and cost';
comment on column agent.agent_messages.request_key is 'The key a message came with: sent again, it attaches to the turn that is there';
comment on column agent.agent_messages.after_seq is 'Events of the turn a message began come after this one in its run';
create unique index message_request on agent.agent_messages (tenant_id, principal, request_key) where request_key is not null;
create index agent_messages_of_session on agent.agent_messages (tenant_id, session_id, created_at, id);

create table agent.run_events (
    tenant_id uuid not null,
    run_id    uuid not null,
    seq       bigint not null check (seq > 0),
    body      jsonb not null,
    at        timestamptz not null,
    primary key (tenant_id, run_id, seq),
    foreign key (tenant_id, run_id) references agent.runs (tenant_id, id) on delete cascade
);
comment on table agent.run_events is 'Each run''s append-only log; every stream is a projection of it';

create table agent.steps (
    tenant_id   uuid not null,
    run_id      uuid not null,
    step        int not null check (step > 0),
    kind        text not null check (kind in ('model', 'tool')),
    name        text not null,
    call_id     text,
    request     jsonb not null,
    response    jsonb,
    started_at  timestamptz not null,
    finished_at timestamptz,
    primary key (tenant_id, run_id, step),
    foreign key (tenant_id, run_id) references agent.runs (tenant_id, id) on delete cascade,
    constraint step_call check ((kind = 'tool') = (call_id is not null)),
    constraint step_finished check ((response is null) = (finished_at is null))
);
comment on table agent.steps is 'Every model and tool call, journaled before and after';

create table agent.approvals (
    tenant_id       uuid not null,
    id              uuid not null,
    run_id          uuid not null,
    session_id      uuid not null,
    call_id         text not null,
    tool            text not null,
    arguments       jsonb not null,
    idempotency_key text not null,
    confirmation    jsonb not null,
    request_state   text not null,
    status          text not null default 'pending'
        check (status in ('pending', 'approved', 'denied', 'expired', 'superseded', 'dispatched', 'done', 'failed', 'unknown')),
    approver        text not null check (approver in ('self', 'staff', 'owner')),
    decided_by      text,
    decided_role    text check (decided_role in ('customer', 'staff', 'owner')),
    decided_via     text,
    decided_at      timestamptz,
    reason          text,
    response        jsonb,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, run_id) references agent.runs (tenant_id, id) on delete cascade,
    constraint approval_decided check (
        (status in ('approved', 'denied', 'dispatched', 'done', 'failed', 'unknown')) <= (decided_by is not null and decided_at is not null))
);
comment on table agent.approvals is 'Pending actions waiting for a person, and what became of them';
comment on column agent.approvals.request_state is 'The server''s token of its question; passed back with the answer';
comment on column agent.approvals.response is 'What the approver was answered, to be answered the same again';
create unique index one_live_approval_per_call on agent.approvals (tenant_id, run_id, call_id) where status in ('pending', 'approved', 'dispatched');
create index approvals_pending on agent.approvals (tenant_id, session_id) where status = 'pending';
create index approvals_due on agent.approvals (expires_at) where status = 'pending';

grant select, insert, update, delete on agent.agent_sessions, agent.runs to countersign_agent;
grant select, insert, update on agent.steps, agent.approvals to countersign_agent;
grant select, insert on agent.agent_messages, agent.run_events to countersign_agent;

do $$
declare t record;
begin
    for t in select c.relname as name from pg_catalog.pg_class c where c.relnamespace = 'agent'::regnamespace and c.relkind = 'r'
    loop
        execute format('alter table agent.%I enable row level security', t.name);
        execute format(
            'create policy tenant on agent.%I to countersign_agent using (tenant_id = (select current_setting(''app.tenant'')::uuid)) with check (tenant_id = (select current_setting(''app.tenant'')::uuid))',
            t.name);
    end loop;
end $$;

-- Workers have no tenant yet. This one function tells them which runs want a worker, and nothing else about them.
create function agent.runs_wanting_a_worker(at timestamptz, most int)
    returns table (tenant_id uuid, run_id uuid) language sql stable security definer set search_path = pg_catalog, agent as $$
    (select r.tenant_id, r.id from agent.runs r
     where r.status = 'running' and r.lease_until < now()
     order by r.lease_until limit most)
    union all
    (select r.tenant_id, r.id from agent.runs r
     where r.status = 'queued'
       and not exists (select 1 from agent.runs o where o.tenant_id = r.tenant_id and o.session_id = r.session_id and o.status = 'running')
     order by r.created_at limit most)
    union all
    (select a.tenant_id, a.run_id from agent.approvals a
     where a.status = 'pending' and a.expires_at < at
     order by a.expires_at limit most)
$$;
comment on function agent.runs_wanting_a_worker is 'Runs whose lease has lapsed (by the database''s clock), that are next in their session, or whose question has lapsed (by the given clock); for workers, which then work tenant by tenant';
revoke all on function agent.runs_wanting_a_worker from public;
grant execute on function agent.runs_wanting_a_worker to countersign_agent;
