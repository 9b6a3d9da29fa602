#!/bin/sh
# As the image's own: words that begin with a hyphen are for the server.
set -eu
[ "${1#-}" = "$1" ] || set -- nats-server "$@"
exec "$@"
