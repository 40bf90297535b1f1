SELECT
    count(),
    countIf(_bad != 0),
    ifNull(minIf({{.EventTime}}, _bad = 0), 0),
    ifNull(maxIf({{.EventTime}}, _bad = 0), 0),
    max(_cursor)
FROM {{.Stage}}
