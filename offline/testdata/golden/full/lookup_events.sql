-- The events of the windows of each key asked for (rules T3, W1, K and R3), key by key in their order (rules O1 and O2).
SELECT
    assumeNotNull(`a`) AS _k0,
    assumeNotNull(`b`) AS _k1,
    toUnixTimestamp64Micro(`at`) AS _x,
    _seq,
    _idx,
    toUInt64(1) + 2 * toUInt8(ifNull(`gone`, false)) + 4 * (isNull(`late`)) + 8 * (isNull(`seen`)) + 16 * (isNull(`tie`)) + 32 * (0) + 64 * (NOT `_has_times`) + 128 * (NOT `_has_flags`) AS _f0,
    toInt64(ifNull(`late`, false)) AS _v0,
    ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) AS _v1,
    ifNull(`tie`, toInt64(0)) AS _v2,
    toUnixTimestamp64Micro(`at`) AS _v3,
    arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) AS _v4,
    `flags` AS _v5
FROM `events_trips`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
    AND toUInt8(ifNull(`gone`, false)) = 0
    AND `at` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `at` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND (`a`, `b`) IN (SELECT _k0, _k1 FROM _keys)
ORDER BY _k0, _k1, `at`, toUInt8(NOT isNull(`tie`)), ifNull(`tie`, toInt64(0)), _seq, _idx, toUInt8(NOT isNull(`day`)), ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)), toUInt8(NOT NOT `_has_flags`), `flags`, toUInt8(NOT isNull(`gone`)), toInt64(ifNull(`gone`, false)), toUInt8(NOT isNull(`late`)), toInt64(ifNull(`late`, false)), toUInt8(NOT isNull(`note`)), ifNull(`note`, ''), toUInt8(NOT isNull(`origin`)), ifNull(`origin`, ''), toUInt8(NOT isNull(`price`)), ifNull(`price`, toFloat64(0)), toUInt8(NOT isNull(`seen`)), ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)), toUInt8(NOT NOT `_has_stops`), `stops`, toUInt8(NOT NOT `_has_times`), arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`)
