#!/bin/sh
# What the image's own entrypoint does with the variables that deploy/compose sets: a cluster once, its user, its database.
set -eu
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
install -d -o postgres -g postgres -m 700 "$PGDATA"
install -d -o postgres -g postgres -m 775 /var/run/postgresql
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  install -o postgres -m 600 "$POSTGRES_PASSWORD_FILE" /tmp/password
  as_postgres initdb --username="$POSTGRES_USER" --pwfile=/tmp/password
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  PGPASSWORD=$(cat /tmp/password) && export PGPASSWORD && rm /tmp/password
  shift
  as_postgres pg_ctl -D "$PGDATA" -w start -o "$* -c listen_addresses=''"
  psql --no-password -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
  as_postgres pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  set -- postgres "$@"
fi
exec setpriv --reuid postgres --regid postgres --init-groups "$@"
