-- The spine rows at whose instant an event of one of their windows had happened and was not there yet (rule S2): between
-- event_time + delay and available_at it is on its way.
CREATE TABLE `tmp_spine_1_late0` ENGINE = MergeTree ORDER BY _rid AS
SELECT _rid, _t, _k0, _k1
FROM
(
    SELECT *, sum(_change) OVER (PARTITION BY _k0, _k1 ORDER BY _at, _row ROWS UNBOUNDED PRECEDING) AS _coming
    FROM
    (
        SELECT _k0, _k1, toUInt8(0) AS _row, toUInt64(0) AS _rid, toInt64(0) AS _t, _at, _change
        FROM (
    SELECT
        assumeNotNull(`a`) AS _k0, assumeNotNull(`b`) AS _k1, 
        toUnixTimestamp64Micro(`at`) AS _x,
        toUnixTimestamp64Micro(_available_at) AS _available,
        toUInt8(NOT (0)) AS _h0,
        toInt64(1) AS _v0,
        toUInt8(NOT (NOT ifNull(`late`, false) OR (isNull(`tie`)))) AS _h1,
        ifNull(`tie`, toInt64(0)) AS _v1,
        toUInt8(NOT (isNull(`price`))) AS _h2,
        ifNull(`price`, toFloat64(0)) AS _v2,
        toUInt8(NOT (isNull(`note`))) AS _h3,
        ifNull(`note`, '') AS _v3,
        toUInt8(NOT (isNull(`tie`))) AS _h4,
        ifNull(`tie`, toInt64(0)) AS _v4
    FROM `events_trips`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
        AND toUInt8(ifNull(`gone`, false)) = 0
        AND `at` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `at` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
        AND (`a`, `b`) IN (SELECT _k0, _k1 FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL))
)
        ARRAY JOIN
            [_x + {delay:Int64}, _available] AS _at,
            [1, -1] AS _change
        WHERE _available > _x + {delay:Int64}
        UNION ALL
        SELECT _k0, _k1, toUInt8(1), _rid, _t, _t, 0
        FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL)
    )
)
WHERE _row = 1 AND _coming > 0
