-- The newest visible events of a key, each with its whole position and when it was available.
SELECT
    toUnixTimestamp64Micro(`at`) AS _x,
    _seq,
    _idx,
    _gen,
    _row,
    toUnixTimestamp64Micro(_available_at) AS _available,
    toUInt64(1) + 2 * toUInt8(ifNull(`gone`, false)) + 4 * (isNull(`late`)) + 8 * (isNull(`seen`)) + 16 * (isNull(`tie`)) + 32 * (0) + 64 * (NOT `_has_times`) + 128 * (NOT `_has_flags`) + 256 * (isNull(`tie`)) + 512 * (isNull(`a`)) + 1024 * (0) + 2048 * (isNull(`b`)) + 4096 * (isNull(`day`)) + 8192 * (NOT `_has_flags`) + 16384 * (isNull(`gone`)) + 32768 * (isNull(`late`)) + 65536 * (isNull(`note`)) + 131072 * (isNull(`origin`)) + 262144 * (isNull(`price`)) + 524288 * (isNull(`seen`)) + 1048576 * (NOT `_has_stops`) + 2097152 * (isNull(`tie`)) + 4194304 * (NOT `_has_times`) AS _f0,
    toInt64(ifNull(`late`, false)) AS _v0,
    ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) AS _v1,
    ifNull(`tie`, toInt64(0)) AS _v2,
    toUnixTimestamp64Micro(`at`) AS _v3,
    arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) AS _v4,
    `flags` AS _v5,
    ifNull(`tie`, toInt64(0)) AS _v6,
    ifNull(`a`, toInt64(0)) AS _v7,
    toUnixTimestamp64Micro(`at`) AS _v8,
    ifNull(`b`, toInt64(0)) AS _v9,
    ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)) AS _v10,
    `flags` AS _v11,
    toInt64(ifNull(`gone`, false)) AS _v12,
    toInt64(ifNull(`late`, false)) AS _v13,
    ifNull(`note`, '') AS _v14,
    ifNull(`origin`, '') AS _v15,
    ifNull(`price`, toFloat64(0)) AS _v16,
    ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) AS _v17,
    `stops` AS _v18,
    ifNull(`tie`, toInt64(0)) AS _v19,
    arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) AS _v20
FROM `events_trips`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
    AND `at` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND (`a`, `b`) IN (SELECT _k0, _k1 FROM _keys)
ORDER BY `at` DESC, toUInt8(NOT isNull(`tie`)) DESC, ifNull(`tie`, toInt64(0)) DESC, _seq DESC, _idx DESC, toUInt8(NOT isNull(`day`)) DESC, ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)) DESC, toUInt8(NOT NOT `_has_flags`) DESC, `flags` DESC, toUInt8(NOT isNull(`gone`)) DESC, toInt64(ifNull(`gone`, false)) DESC, toUInt8(NOT isNull(`late`)) DESC, toInt64(ifNull(`late`, false)) DESC, toUInt8(NOT isNull(`note`)) DESC, ifNull(`note`, '') DESC, toUInt8(NOT isNull(`origin`)) DESC, ifNull(`origin`, '') DESC, toUInt8(NOT isNull(`price`)) DESC, ifNull(`price`, toFloat64(0)) DESC, toUInt8(NOT isNull(`seen`)) DESC, ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) DESC, toUInt8(NOT NOT `_has_stops`) DESC, `stops` DESC, toUInt8(NOT NOT `_has_times`) DESC, arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) DESC, _gen DESC, _row DESC
LIMIT {limit:UInt64}
