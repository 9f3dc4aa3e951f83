#!/usr/bin/env bash
# Installs the real services that the tests use, on Debian 12 as root: Mosquitto, Chromium with its driver, and
# TimescaleDB. Debian 12 has no TimescaleDB, and Debian 13's package would pull a newer libc, so it lives in a
# Debian 13 tree of its own and is run through chroot. Running this again changes nothing that is already there.
set -euo pipefail

tree=${FOREWARN_TIMESCALEDB_TREE:-/opt/forewarn-timescaledb}
here=$(cd "$(dirname "$0")" && pwd)

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "install.sh: needs root on Debian; the tests that use Mosquitto, Chromium or TimescaleDB will be skipped" >&2
    exit 0
fi

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v mosquitto >/dev/null || missing+=(mosquitto)
command -v mosquitto_ctrl >/dev/null || missing+=(mosquitto-clients)
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
[ -x "$tree/usr/lib/postgresql/17/bin/postgres" ] || command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ ${#missing[@]} -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # policy-rc.d keeps the packages from starting daemons of their own: the tests start what they need.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if [ ! -x "$tree/usr/lib/postgresql/17/bin/postgres" ]; then
    rm -rf "$tree.partial"
    debootstrap --variant=minbase --include=postgresql-17-timescaledb,locales trixie "$tree.partial"
    # A tree that is renamed when complete is never mistaken for a finished one after an interrupted run.
    mv "$tree.partial" "$tree"
fi
"$here/timescaledb.sh" check
