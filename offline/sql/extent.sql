-- How many rows a generation has, and event times that cut them into parts of about so many.
SELECT count() AS _n, ifNull(min({{.EventMicros}}), 0), ifNull(max({{.EventMicros}}), 0), arrayMap(_q -> toInt64(_q), quantiles({{.Cuts}})({{.EventMicros}}))
FROM {{.Table}}
WHERE _gen = {generation:UInt64}
