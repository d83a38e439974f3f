-- Tool servers that are not ours ask nobody, so the agent asks: such a question has no token of a server.

alter table agent.approvals
    add column asked_by text not null default 'server' constraint approval_asked_by check (asked_by in ('server', 'agent')),
    alter column request_state drop not null,
    add constraint approval_token check ((asked_by = 'server') = (request_state is not null));
comment on column agent.approvals.asked_by is 'server: our tool server asked and enforces the answer. agent: we asked, because the server that would do it is not ours';
comment on column agent.approvals.request_state is 'The server''s token of its question, passed back with the answer; none where the agent asked';
