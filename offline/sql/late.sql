-- The spine rows at whose instant an event of one of their windows had happened and was not there yet (rule S2): between
-- event_time + delay and available_at it is on its way.
CREATE TABLE {{.Late}} ENGINE = MergeTree ORDER BY _rid AS
SELECT _rid, _t, {{join .KeyAliases ", "}}
FROM
(
    SELECT *, sum(_change) OVER (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _at, _row ROWS UNBOUNDED PRECEDING) AS _coming
    FROM
    (
        SELECT {{join .KeyAliases ", "}}, toUInt8(0) AS _row, toUInt64(0) AS _rid, toInt64(0) AS _t, _at, _change
        FROM {{template "held" .}}
        ARRAY JOIN
            [_x + {delay:Int64}, {{if .Reach}}least(_available, _x + {delay:Int64} + {reach:Int64}){{else}}_available{{end}}] AS _at,
            [1, -1] AS _change
        WHERE _available > _x + {delay:Int64}
        UNION ALL
        SELECT {{join .KeyAliases ", "}}, toUInt8(1), _rid, _t, _t, 0
        FROM {{template "keyed" .}}
    )
)
WHERE _row = 1 AND _coming > 0
