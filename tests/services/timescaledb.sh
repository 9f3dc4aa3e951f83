#!/usr/bin/env bash
# Starts and stops one TimescaleDB server out of the Debian 13 tree that install.sh made.
#   timescaledb.sh start DIR PORT   a new cluster below DIR if there is none, listening on 127.0.0.1:PORT
#   timescaledb.sh stop DIR         fast shutdown
#   timescaledb.sh remove DIR       stop at once and delete the cluster
#   timescaledb.sh check            exit 0 if this machine can run it, else say why
# DIR is a path inside the tree's /var/lib/forewarn; it is made here and owned by the tree's postgres user.
set -euo pipefail

tree=${FOREWARN_TIMESCALEDB_TREE:-/opt/forewarn-timescaledb}
bin=/usr/lib/postgresql/17/bin

inside() { chroot "$tree" /bin/su postgres -s /bin/sh -c "$1"; }

mounted() {
    mkdir -p "$tree/proc" "$tree/dev"
    mountpoint -q "$tree/proc" || mount -t proc proc "$tree/proc"
    mountpoint -q "$tree/dev" || mount --bind /dev "$tree/dev"
}

case "${1:-}" in
check)
    [ "$(id -u)" = 0 ] || { echo "TimescaleDB needs root to enter its tree"; exit 1; }
    [ -x "$tree$bin/postgres" ] || { echo "TimescaleDB is not installed: run tests/services/install.sh as root"; exit 1; }
    ;;
start)
    data=/var/lib/forewarn/$2
    mounted
    mkdir -p "$tree/var/lib/forewarn"
    chown "$(chroot "$tree" id -u postgres)" "$tree/var/lib/forewarn"
    if [ ! -e "$tree$data/PG_VERSION" ]; then
        inside "$bin/initdb -A trust --locale=C.UTF-8 -D $data >/dev/null"
        cat >>"$tree$data/postgresql.conf" <<CONF
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
listen_addresses = '127.0.0.1'
unix_socket_directories = '$data'
max_connections = 60
shared_buffers = 256MB
max_wal_size = 2GB
CONF
    fi
    inside "$bin/pg_ctl -D $data -o '-p $3' -l $data/log -w -t 60 start >/dev/null" || { tail -20 "$tree$data/log" >&2; exit 1; }
    ;;
stop)
    inside "$bin/pg_ctl -D /var/lib/forewarn/$2 -m ${3:-fast} -w stop >/dev/null"
    ;;
remove)
    inside "$bin/pg_ctl -D /var/lib/forewarn/$2 -m immediate -w stop >/dev/null" || true
    rm -rf "${tree:?}/var/lib/forewarn/${2:?}"
    ;;
*)
    sed -n '2,7p' "$0" >&2
    exit 2
    ;;
esac
