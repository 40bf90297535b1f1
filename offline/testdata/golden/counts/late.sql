-- The spine rows at whose instant an event of one of their windows had happened and was not there yet (rule S2): between
-- event_time + delay and available_at it is on its way.
CREATE TABLE `tmp_spine_1_late0` ENGINE = MergeTree ORDER BY _rid AS
SELECT _rid, _t, _k0
FROM
(
    SELECT *, sum(_change) OVER (PARTITION BY _k0 ORDER BY _at, _row ROWS UNBOUNDED PRECEDING) AS _coming
    FROM
    (
        SELECT _k0, toUInt8(0) AS _row, toUInt64(0) AS _rid, toInt64(0) AS _t, _at, _change
        FROM (
    SELECT
        assumeNotNull(`k`) AS _k0, 
        toUnixTimestamp64Micro(`event_time`) AS _x,
        toUnixTimestamp64Micro(_available_at) AS _available,
        toUInt8(NOT (0)) AS _h0,
        toInt64(1) AS _v0,
        toUInt8(NOT (isNull(`n`))) AS _h1,
        ifNull(`n`, toInt64(0)) AS _v1
    FROM `events_bench`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
        AND 0 = 0
        AND `event_time` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `event_time` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
)
        ARRAY JOIN
            [_x + {delay:Int64}, least(_available, _x + {delay:Int64} + {reach:Int64})] AS _at,
            [1, -1] AS _change
        WHERE _available > _x + {delay:Int64}
        UNION ALL
        SELECT _k0, toUInt8(1), _rid, _t, _t, 0
        FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL)
    )
)
WHERE _row = 1 AND _coming > 0
