#!/bin/sh
# Requests made from /openapi.json, good and bad, to a server with the starting point of `lockstep init`. Run it with `make schemathesis`.
# Left out are the checks that every request of the right shape is taken (names must exist, which a schema cannot say) and that every
# other one is refused (null is as good as left out).
set -eu
lockstep=${LOCKSTEP:?"LOCKSTEP names the binary: run make schemathesis"}
st=${ST:?"ST names the program of schemathesis: run make schemathesis"}
dir=$(mktemp -d)

cd "$dir"
"$lockstep" init shop >/dev/null
"$lockstep" dev shop --data data --listen 127.0.0.1:0 --url-file url >server.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT INT TERM
tries=0
until [ -s url ]; do
  kill -0 $server 2>/dev/null || { cat server.log >&2; exit 1; }
  tries=$((tries + 1)); [ $tries -lt 600 ] || { echo "the server did not start within 60 s:" >&2; cat server.log >&2; exit 1; }
  sleep 0.1
done
LOCKSTEP_SERVER=$(cat url); export LOCKSTEP_SERVER
"$lockstep" import purchases shop/purchases.csv
"$lockstep" push purchases shop/new.jsonl
"$lockstep" materialize

status=0
"$st" run "$LOCKSTEP_SERVER/openapi.json" --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-50}" ${SEED:+--seed "$SEED"} \
  --exclude-checks positive_data_acceptance,negative_data_rejection --request-timeout 60 --continue-on-failure --warnings off || status=$?
# Whatever was asked, it serves as before, and says nothing of an error of its own.
"$lockstep" get purchase_model customer=7 >/dev/null || { echo "it does not serve any more" >&2; status=1; }
if grep -E 'level=ERROR|panic' server.log; then status=1; fi
exit $status
