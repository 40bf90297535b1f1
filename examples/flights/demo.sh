#!/bin/sh
# The whole road on real data: define, import, stream, train, read, compare. Run it with `make demo`.
# Every step is a command you can type yourself; the server's data and all files land in ./demo.
set -eu
cd "$(dirname "$0")/../.."
lockstep=${LOCKSTEP:-bin/lockstep}
flights=${FLIGHTS:?"FLIGHTS names flights-3m.parquet of the npm package vega-datasets: run make demo"}
go=${GO:-go}
dir=demo

step() { printf '\n\033[1m== %s\033[0m\n' "$1"; }
run() { printf '$ lockstep %s\n' "$*"; "$lockstep" "$@"; }

rm -rf "$dir" && mkdir -p "$dir"

step "Prepare: 3,000,000 US flights of 2001, split at 2001-06-24"
$go run ./examples/flights/prepare "$flights" "$dir"

step "Start: ClickHouse engine, log, replica and HTTP in one process"
"$lockstep" dev --data "$dir/data" --listen 127.0.0.1:0 --url-file "$dir/url" >"$dir/server.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT INT TERM
tries=0
until [ -s "$dir/url" ]; do
  kill -0 $server 2>/dev/null || { cat "$dir/server.log" >&2; exit 1; }
  tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "the server did not start within 30 s:" >&2; cat "$dir/server.log" >&2; exit 1; }
  sleep 0.1
done
LOCKSTEP_SERVER=$(cat "$dir/url"); export LOCKSTEP_SERVER
echo "serving on $LOCKSTEP_SERVER, log in $dir/server.log"

step "Define: airports, routes and their features, once: latest values, windows, and expressions over these and the request"
run apply examples/flights/definitions

step "Import: everything known before the last week"
run import flights "$dir/history.parquet"

step "Stream: the last week, through the log"
run push flights "$dir/week.jsonl"

step "Twice: the week again, and once more as a file; copies of events are left out"
run push flights "$dir/week.jsonl"
run import flights "$dir/week.jsonl"

step "Materialize: wait until the replica has it all"
run materialize

step "Train: 20,000 flights, each with what was known half an hour before departure"
run train delay_model --spine "$dir/spine.parquet" --out "$dir/training.parquet"

step "Read: the same features, live"
run get delay_model origin=JFK destination=LAX --request planned_distance=2475 --at 2001-06-30T12:00:00Z

step "Verify: both paths, the same keys, several instants of the last week"
run verify delay_model --sample 400 \
  --at 2001-06-24T12:00:00Z --at 2001-06-26T06:30:00Z --at 2001-06-28T18:00:00.000001Z --at 2001-06-30T23:59:59.999999Z >"$dir/verify.txt" || { cat "$dir/verify.txt"; exit 1; } # not through a pipe, which would swallow the failure
cat "$dir/verify.txt"

step "Done"
run status
echo "The training set is $dir/training.parquet; the server's log is $dir/server.log."
tail -n 1 "$dir/verify.txt"
