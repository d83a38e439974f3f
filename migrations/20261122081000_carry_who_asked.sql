-- A run is taken up again for the person who began it, within the same reach.
alter table agent.runs
    add column principal_customer uuid,
    add column principal_scopes   text[] not null default '{all:commit,admin}';
comment on column agent.runs.principal_customer is 'The customer a customer principal is';
comment on column agent.runs.principal_scopes is 'How far the principal may reach within the role';
