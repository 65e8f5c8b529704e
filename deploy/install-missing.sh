#!/usr/bin/env bash
# Installs what Draftsman's build and tests need beside Rust, if it is missing: redis-server and a C compiler
# (for the Lua that is compiled in). Says what it does; does nothing where everything is there.
set -euo pipefail

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
command -v cc >/dev/null || packages+=(build-essential)

if ! command -v cargo >/dev/null; then
    echo "cargo is not on the PATH: install Rust first" >&2
    exit 1
fi
if [ "${#packages[@]}" -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "missing: ${packages[*]}. This is no Debian or Ubuntu: install them (redis-server 7.0 or later) and run this again" >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "missing: ${packages[*]}. As root: apt-get update && apt-get install -y ${packages[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing ${packages[*]}" >&2
# The demo and the tests start servers of their own and leave the service that this may start on 6379 alone.
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
