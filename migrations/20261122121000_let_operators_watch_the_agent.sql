-- What operators watch of the agent: how much waits, across all businesses, as counts. Nothing here names a business or a person.

create function agent.operations()
    returns table (runs_queued bigint, runs_running bigint, runs_waiting bigint, approvals_open bigint)
    language sql stable security definer set search_path = pg_catalog, agent as $$
    select
        (select count(*) from (select from agent.runs r where r.status = 'queued' limit 10000) r),
        (select count(*) from (select from agent.runs r where r.status = 'running' limit 10000) r),
        -- A run waits for one question or several, so those that wait are counted by them.
        (select count(*) from (select distinct a.tenant_id, a.run_id from agent.approvals a where a.status = 'pending' limit 10000) a),
        (select count(*) from (select from agent.approvals a where a.status = 'pending' limit 10000) a)
$$;
comment on function agent.operations is 'How much waits, over all businesses: counts up to 10,000 each, for operators';
revoke all on function agent.operations from public;
grant execute on function agent.operations to countersign_agent;
