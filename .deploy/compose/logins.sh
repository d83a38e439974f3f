#!/bin/sh
# Makes the roles and logins of Countersign in a database: the owner of the schema, who migrates, and one login for each program, which
# owns nothing. What is there already stays, but for the passwords, which become those of the files. The image of Postgres runs it when it
# makes its data, as its superuser; elsewhere by hand:
#   SECRETS=folder/of/password/files POSTGRES_USER=postgres POSTGRES_DB=countersign sh .deploy/compose/logins.sh
set -eu
secrets=${SECRETS:-/run/secrets}
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set=owner="$(cat "$secrets/owner_password")" --set=shop="$(cat "$secrets/shop_password")" --set=agent="$(cat "$secrets/agent_password")" <<'SQL'
select format('create role %I %s nosuperuser nobypassrls', name, may)
  from (values ('countersign_shop', 'nologin'), ('countersign_agent', 'nologin'),
               ('countersign_owner', 'login'), ('shop', 'login'), ('agent', 'login')) as wanted (name, may)
 where not exists (select from pg_catalog.pg_roles r where r.rolname = wanted.name)
\gexec
alter role countersign_owner password :'owner';
alter role shop password :'shop';
alter role agent password :'agent';
grant countersign_shop to shop;
grant countersign_agent to agent;
alter database :DBNAME owner to countersign_owner;
alter schema public owner to countersign_owner;
revoke connect on database :DBNAME from public;
grant connect on database :DBNAME to shop, agent;
SQL
