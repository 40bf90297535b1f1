-- How many different values the windows of each spine row hold, or which levels of registers they set (rules W4 and W5). A
-- value lives in a window from its event to the next equal one or to the instant at which it falls out of the window; a
-- register of rank r is r levels that live like values. A sweep counts what lives.
SELECT
    _rid,
    _y0,
    _y1,
    _y2
FROM
(
    SELECT
        _rid,
        _class,
        sum(if(_class = 0 AND _edge IN (1, 3), _gain, 0)) OVER sweep AS _y0,
        sum(if(_class = 1 AND _edge IN (1, 0), _gain, 0)) OVER sweep AS _y1,
        sum(if(_class = 1 AND _edge IN (1, 0), _one, 0)) OVER sweep AS _y2
    FROM
    (
        SELECT
            _k0, _k1, _alone, _at, toUInt8(0) AS _class, _number AS _edge, toUInt64(0) AS _rid,
            if(_number = 1, 1, -1) * toInt64(1) AS _gain,
            0 AS _one
        FROM
        (
            SELECT
                *,
                leadInFrame(_x, 1, toInt64(9000000000000000000)) OVER (PARTITION BY _k0, _k1, _alone, _v3
                    ORDER BY _x ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS _next
            FROM (SELECT _k0, _k1, _alone, _x, _v3 FROM (
    SELECT *, toUInt64(0) AS _alone FROM (
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
    UNION ALL
    SELECT _event.*, _late._rid + 1 AS _alone
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
) AS _event
    INNER JOIN `tmp_spine_1_late0` AS _late ON _event._k0 = _late._k0 AND _event._k1 = _late._k1
    WHERE _event._available <= _late._t AND _event._x <= _late._t - {delay:Int64}
        AND _late._rid >= {from:UInt64} AND _late._rid < {to:UInt64}
) WHERE _h3 = 1)
        )
        ARRAY JOIN
            [_x, least(_next, _x + positiveModulo(-_x, {hop3:Int64}) + {width3:Int64})] AS _at,
            [toUInt8(1), 3] AS _number
        UNION ALL
        SELECT
            _k0, _k1, _alone, _at, toUInt8(1) AS _class, _number AS _edge, toUInt64(0) AS _rid,
            if(_number = 1, 1, -1) * bitShiftLeft(toInt64(1), 50 - _level) AS _gain,
            if(_level > 1, 0, if(_number = 1, 1, -1)) AS _one
        FROM
        (
            SELECT
                *,
                leadInFrame(_x, 1, toInt64(9000000000000000000)) OVER (PARTITION BY _k0, _k1, _alone, _register, _level
                    ORDER BY _x ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS _next
            FROM
            (
                SELECT
                    _k0, _k1, _alone, _x, bitAnd(_hash, 2047) AS _register,
                    arrayJoin(range(1, 1 + toUInt8(least(50, bitCount(bitXor(bitShiftRight(_hash, 11), bitShiftRight(_hash, 11) - 1)))))) AS _level
                FROM (SELECT *, xxHash64(_v4) AS _hash FROM (
    SELECT *, toUInt64(0) AS _alone FROM (
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
    UNION ALL
    SELECT _event.*, _late._rid + 1 AS _alone
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
) AS _event
    INNER JOIN `tmp_spine_1_late0` AS _late ON _event._k0 = _late._k0 AND _event._k1 = _late._k1
    WHERE _event._available <= _late._t AND _event._x <= _late._t - {delay:Int64}
        AND _late._rid >= {from:UInt64} AND _late._rid < {to:UInt64}
) WHERE _h4 = 1)
            )
        )
        ARRAY JOIN
            [_x, _next] AS _at,
            [toUInt8(1), 0] AS _number
        UNION ALL
        SELECT _k0, _k1, _alone, _t - {delay:Int64}, toUInt8(255), toUInt8(0), _rid, toInt64(0), 0
        FROM (SELECT *, if(_rid IN (SELECT _rid FROM `tmp_spine_1_late0`), _rid + 1, 0) AS _alone FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL))
                    WHERE _rid >= {from:UInt64} AND _rid < {to:UInt64}
    )
    WINDOW sweep AS (PARTITION BY _k0, _k1, _alone ORDER BY _at, _class ROWS UNBOUNDED PRECEDING)
)
WHERE _class = 255
ORDER BY _rid
