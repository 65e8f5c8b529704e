#!/usr/bin/env bash
# `make demo`: runs `draftsman up` on free ports and in a temporary directory, and sends it a few
# issues. Prints each command before it runs. Exits 0 only if every exit status and value is as
# expected here.
#
# DRAFTSMAN is the path of the binary; `make demo` sets it to the one that it has just built.
set -euo pipefail
cd "$(dirname "$0")/.."

draftsman="${DRAFTSMAN:-target/debug/draftsman}"
dir="$(mktemp -d "${TMPDIR:-/tmp}/draftsman-demo.XXXXXX")"
up_pid=
sync_pid=

finish() {
    local status=$?
    trap - EXIT INT TERM
    [ -z "$sync_pid" ] || kill -TERM "$sync_pid" 2>/dev/null || true
    if [ -n "$up_pid" ] && kill -TERM "$up_pid" 2>/dev/null; then
        wait "$up_pid" || status=1
    fi
    if [ "$status" -ne 0 ]; then
        echo "demo: something was not as it should be; the end of the log of \`draftsman up\`:" >&2
        tail -n 40 "$dir/up.log" >&2 || true
    fi
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Colours only where `draftsman` shows them, too.
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-}" != dumb ]; then
    bold=$'\033[1m' plain=$'\033[0m'
fi

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# expect STATUS VERB…: prints and runs a command of draftsman. Any other exit status ends the demo.
expect() {
    local expected=$1 status=0 word
    shift
    printf '\n$ draftsman'
    for word in "$@"; do
        case "$word" in
            *[!A-Za-z0-9._/:=-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$draftsman" "$@" || status=$?
    if [ "$status" -ne "$expected" ]; then
        echo "demo: exit status $status, expected $expected" >&2
        exit 1
    fi
}

# same WHAT GOT EXPECTED: ends the demo unless both values are equal.
same() {
    if [ "$2" != "$3" ]; then
        echo "demo: $1: got $2, expected $3" >&2
        exit 1
    fi
    echo "(checked: $1)"
}

title "Everything on this machine: redis-server, intake, two workers"
printf '$ draftsman up --listen 127.0.0.1:0 --data-dir %s &\n' "$dir/data"
"$draftsman" up --listen 127.0.0.1:0 --data-dir "$dir/data" >"$dir/up.out" 2>"$dir/up.log" &
up_pid=$!
for _ in $(seq 300); do
    DRAFTSMAN_ADDR="$(sed -n 's/^draftsman is up: *\(http[^ ]*\).*/\1/p' "$dir/up.out")"
    [ -n "$DRAFTSMAN_ADDR" ] && break
    kill -0 "$up_pid" 2>/dev/null || { wait "$up_pid" || true; up_pid=; echo "demo: draftsman up ended" >&2; exit 1; }
    sleep 0.1
done
[ -n "$DRAFTSMAN_ADDR" ] || { echo "demo: draftsman up did not come up within 30 s" >&2; exit 1; }
export DRAFTSMAN_ADDR
cat "$dir/up.out"

title "A Blueprint"
expect 0 put deploy/samples/support-swarm.yaml --new --rationale "the first draft"

title "Issues that are applied"
expect 0 submit support-swarm "set prompt of agent writer to Answer in the language of the mail; at most six sentences."
expect 0 submit support-swarm "tag multilingual; rename agent reviewer to editor"
expect 0 submit support-swarm '{"ops": [{"op": "test", "path": "/owner/team", "value": "support"},
    {"op": "add", "path": "/owner/reviewed_by", "value": ["quality"]}], "bump": "minor", "rationale": "quality looks at it too"}'

title "An issue that is denied: the flow still names the agent that it would remove"
expect 2 submit support-swarm "remove /agents/0"

title "What was decided, and why"
expect 0 issues --blueprint support-swarm
expect 0 log --blueprint support-swarm
expect 0 history support-swarm

title "What changed, from the first commit to the newest"
expect 0 diff support-swarm 1 4
expect 0 stats

title "Which version is in production: a channel, a program that follows it, and a rollback"
expect 0 promote support-swarm production 1 --yes
printf '\n$ draftsman sync %s --pattern support-swarm --channel production --run … &\n' "$dir/swarm"
"$draftsman" sync "$dir/swarm" --pattern support-swarm --channel production --consumer demo \
    --run "echo \"the swarm loads it\"" >"$dir/sync.out" 2>&1 &
sync_pid=$!
in_production() { sha256sum < <("$draftsman" get support-swarm --channel production) | cut -d' ' -f1; }
follows_version() { "$draftsman" consumers support-swarm --output json | grep -q "\"version\": \"$1\""; }
within_ten_seconds() {
    for _ in $(seq 100); do "$@" && return; sleep 0.1; done
    echo "demo: not within 10 s: $*" >&2
    cat "$dir/sync.out" >&2
    exit 1
}
within_ten_seconds follows_version "$(in_production)"
expect 0 promote support-swarm production --yes
within_ten_seconds follows_version "$(in_production)"
expect 0 consumers support-swarm
expect 0 rollback support-swarm production
within_ten_seconds follows_version "$(in_production)"
expect 0 consumers support-swarm
expect 0 channels support-swarm --moves
kill -TERM "$sync_pid" && wait "$sync_pid" || true
sync_pid=
sed 's/^/  /' "$dir/sync.out"
same "the file is the version in production" "$(sha256sum <"$dir/swarm/support-swarm.yaml")" \
    "$(sha256sum < <("$draftsman" get support-swarm --channel production))"

title "And it is true"
version="$("$draftsman" history support-swarm --limit 1 --output json | sed -n 's/^ *"version": "\([0-9a-f]*\)".*/\1/p')"
same "the version is the SHA-256 of the document" "$("$draftsman" get support-swarm | sha256sum | cut -d' ' -f1)" "$version"
same "four commits, three of them from issues" "$("$draftsman" history support-swarm --output json | grep -c '"seq"')" 4
same "the denied issue changed nothing" "$("$draftsman" get support-swarm | grep -c 'name: triage')" 1
same "the large number is whole" "$("$draftsman" get support-swarm | grep -c 'ticket: 1152921504606846977')" 1

title "One SIGTERM ends everything, in order"
kill -TERM "$up_pid"
wait "$up_pid" || { up_pid=; echo "demo: draftsman up did not end cleanly" >&2; exit 1; }
up_pid=
sed 's/^/  /' "$dir/up.out" | tail -n 1
echo "done"
