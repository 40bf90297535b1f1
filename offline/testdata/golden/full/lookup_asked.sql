-- The newest visible event of each key asked for (rules T3, K, O and R1).
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
FROM (SELECT `origin`, `at`, `seen`, `tie`, `gone`, `a`, `b`, `day`, `late`, `price`, `stops`, `_has_stops`, `times`, `_has_times`, `flags`, `_has_flags`, `note`, _available_at, _row, _seq, _idx, _gen FROM `events_trips` WHERE _seq < {seq:UInt64} UNION ALL SELECT `origin`, fromUnixTimestamp64Micro(`_us_at`, 'UTC') AS `at`, fromUnixTimestamp64Micro(`_us_seen`, 'UTC') AS `seen`, `tie`, `gone`, `a`, `b`, fromUnixTimestamp64Micro(`_us_day`, 'UTC') AS `day`, `late`, `price`, `stops`, `_has_stops`, arrayMap(us -> fromUnixTimestamp64Micro(us, 'UTC'), `_us_times`) AS `times`, `_has_times`, `flags`, `_has_flags`, `note`, `at` AS _available_at, toUInt64(0) AS _row, {seq:UInt64} AS _seq, _idx, toUInt64(0) AS _gen FROM _asked)
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
    AND `at` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND (`a`, `b`) IN (SELECT _k0, _k1 FROM _keys)
ORDER BY _k0, _k1, `at` DESC, toUInt8(NOT isNull(`tie`)) DESC, ifNull(`tie`, toInt64(0)) DESC, _seq DESC, _idx DESC, toUInt8(NOT isNull(`day`)) DESC, ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)) DESC, toUInt8(NOT NOT `_has_flags`) DESC, `flags` DESC, toUInt8(NOT isNull(`gone`)) DESC, toInt64(ifNull(`gone`, false)) DESC, toUInt8(NOT isNull(`late`)) DESC, toInt64(ifNull(`late`, false)) DESC, toUInt8(NOT isNull(`note`)) DESC, ifNull(`note`, '') DESC, toUInt8(NOT isNull(`origin`)) DESC, ifNull(`origin`, '') DESC, toUInt8(NOT isNull(`price`)) DESC, ifNull(`price`, toFloat64(0)) DESC, toUInt8(NOT isNull(`seen`)) DESC, ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) DESC, toUInt8(NOT NOT `_has_stops`) DESC, `stops` DESC, toUInt8(NOT NOT `_has_times`) DESC, arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) DESC
LIMIT 1 BY _k0, _k1
