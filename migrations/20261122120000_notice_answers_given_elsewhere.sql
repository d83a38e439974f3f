-- A question of our tool server may be answered on a page of that server. The agent asks it now and then what has come of the questions
-- that stand open, so that the runs that wait for them go on.

alter table agent.approvals add column looked_at timestamptz not null default now();
comment on column agent.approvals.looked_at is 'When the tool server was last asked whether somebody has answered there, by the database''s clock';
create index approvals_to_look_at on agent.approvals (looked_at) where status = 'pending' and asked_by = 'server';

-- Workers have no tenant yet. This function hands out the questions that nobody has looked at for a while, each to one worker, and tells
-- nothing else about them.
create function agent.take_open_questions(after_ms double precision, most int)
    returns table (tenant_id uuid, approval_id uuid) language sql volatile security definer set search_path = pg_catalog, agent as $$
    update agent.approvals a set looked_at = now()
    from (select d.tenant_id, d.id from agent.approvals d
          where d.status = 'pending' and d.asked_by = 'server' and d.looked_at < now() - $1 * interval '1 millisecond'
          order by d.looked_at limit $2
          for update skip locked) due
    where a.tenant_id = due.tenant_id and a.id = due.id
    returning a.tenant_id, a.id
$$;
comment on function agent.take_open_questions is 'Open questions of our tool server that nobody has asked it about for so long; for workers, which then work tenant by tenant';
revoke all on function agent.take_open_questions from public;
grant execute on function agent.take_open_questions to countersign_agent;
