#!/bin/sh
# An unchanged Feast client on a Lockstep server. Run it with `make feast`; both write into a temporary folder.
set -eu
cd "$(dirname "$0")/../.."
lockstep=${LOCKSTEP:-bin/lockstep}
python=${PYTHON:?"PYTHON names a Python that has feast: run make feast"}
dir=$(mktemp -d)

"$lockstep" dev examples/feast/definitions --data "$dir/data" --listen 127.0.0.1:0 --url-file "$dir/url" >"$dir/server.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT INT TERM
tries=0
until [ -s "$dir/url" ]; do
  kill -0 $server 2>/dev/null || { cat "$dir/server.log" >&2; exit 1; }
  tries=$((tries + 1)); [ $tries -lt 600 ] || { echo "the server did not start within 60 s:" >&2; cat "$dir/server.log" >&2; exit 1; }
  sleep 0.1
done
FEAST_USAGE=False "$python" -W ignore examples/feast/check.py "$(cat "$dir/url")" "$dir" || { status=$?; tail -n 20 "$dir/server.log" >&2; exit $status; }
