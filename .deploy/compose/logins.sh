#!/bin/sh
# Makes the roles and logins of Countersign in a new database: the owner of the schema, who migrates, and one login for each program,
# which owns nothing. Run by the image of Postgres when it makes its data, as its superuser; elsewhere by hand, with the same variables:
#   SECRETS=folder/of/password/files POSTGRES_USER=postgres POSTGRES_DB=countersign sh .deploy/compose/logins.sh
set -eu
secrets=${SECRETS:-/run/secrets}
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set=owner="$(cat "$secrets/owner_password")" --set=shop="$(cat "$secrets/shop_password")" --set=agent="$(cat "$secrets/agent_password")" <<'SQL'
create role countersign_shop nologin nosuperuser nobypassrls;
create role countersign_agent nologin nosuperuser nobypassrls;
create role countersign_owner login nosuperuser nobypassrls password :'owner';
create role shop login nosuperuser nobypassrls in role countersign_shop password :'shop';
create role agent login nosuperuser nobypassrls in role countersign_agent password :'agent';
select format('alter database %I owner to countersign_owner', current_database()) \gexec
alter schema public owner to countersign_owner;
revoke connect on database :DBNAME from public;
grant connect on database :DBNAME to shop, agent;
SQL
