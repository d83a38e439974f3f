#!/bin/sh
# Puts a backup into an empty database whose logins have been made (.deploy/compose/logins.sh): all of it or nothing. The login owns the
# database.
#   sh .deploy/restore.sh /backups/countersign.dump postgres://countersign_owner@db/countersign
set -eu
file=$1
url=$2
pg_restore --exit-on-error --single-transaction --no-owner --dbname="$url" "$file"
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command='analyze' "$url"
