-- Every turn writes its run's row three times and its session's once. What is not looked up by the database stays out of the indexes,
-- and pages keep some room, so that such a write touches one row and no index (a heap-only update).

-- The few runs that want a worker are found by their status; the rest is looked at in the row.
drop index agent.runs_to_do;
create index runs_to_do on agent.runs (status) where status in ('queued', 'running');

-- Sessions that have grown old are looked for once a day, by reading them.
drop index agent.agent_sessions_age;

alter table agent.runs set (fillfactor = 50);
alter table agent.agent_sessions set (fillfactor = 50);
alter table agent.steps set (fillfactor = 80);
