#!/bin/sh
# Puts the project and the tokens where the hub looks for them, then becomes the hub: signals reach it as they are.
set -eu
umask 077
project=${HUB_PROJECT:-/srv/hub}
data=${HUB_DATA:-/var/lib/hub}
# A project that is there stays: it may hold changes that people made. A new volume gets the one of the image.
[ -e "$project/channels" ] || cp -R /opt/hub/project/. "$project/"
# The site's own settings and channels, mounted read-only, win over those of the image.
[ ! -f /etc/hub/config.yaml ] || cp /etc/hub/config.yaml "$project/config.yaml"
# Tokens of programs, one `name token` a line; the hub wants the file for itself alone.
[ ! -f /run/secrets/hub/TOKENS ] || install -m 600 /run/secrets/hub/TOKENS "$data/token"
# Releases of code systems that an image on top brings; those that are there stay.
[ -e "$data/codes.db" ] || [ ! -f /opt/hub/codes.db ] || cp /opt/hub/codes.db "$data/codes.db"
cd "$project"
exec hub "$@"
