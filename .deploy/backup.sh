#!/bin/sh
# Writes a whole database of Countersign into one file, as of one moment, while the programs work. The login owns the database; its
# password is better in ~/.pgpass than in the address, which other users of the machine can see.
#   sh .deploy/backup.sh postgres://countersign_owner@db/countersign /backups/countersign.dump
set -eu
url=$1
file=$2
umask 077
pg_dump --format=custom --no-owner --lock-wait-timeout=60s --file="$file.part" "$url"
# A file that cannot be read back is no backup.
pg_restore --list "$file.part" >/dev/null
sync "$file.part"
mv "$file.part" "$file"
