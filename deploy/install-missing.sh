#!/usr/bin/env bash
# Installs the packages that build and tests need besides Rust: redis-server, and a C compiler for
# the bundled Lua. Prints what it installs. Does nothing if both are present.
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
# Installing redis-server may start a service on port 6379. The demo and the tests do not use it.
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
