CREATE TABLE IF NOT EXISTS `events_trips`
(
    `origin` Nullable(String),
    `_us_at` Int64 EPHEMERAL,
    `at` DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(`_us_at`, 'UTC'),
    `_us_seen` Nullable(Int64) EPHEMERAL,
    `seen` Nullable(DateTime64(6, 'UTC')) DEFAULT fromUnixTimestamp64Micro(`_us_seen`, 'UTC'),
    `tie` Nullable(Int64),
    `gone` Nullable(Bool),
    `a` Nullable(Int64),
    `b` Nullable(Int64),
    `_us_day` Nullable(Int64) EPHEMERAL,
    `day` Nullable(DateTime64(6, 'UTC')) DEFAULT fromUnixTimestamp64Micro(`_us_day`, 'UTC'),
    `late` Nullable(Bool),
    `price` Nullable(Float64),
    `stops` Array(String),
    `_has_stops` Bool,
    `_us_times` Array(Int64) EPHEMERAL,
    `times` Array(DateTime64(6, 'UTC')) DEFAULT arrayMap(us -> fromUnixTimestamp64Micro(us, 'UTC'), `_us_times`),
    `_has_times` Bool,
    `flags` Array(Bool),
    `_has_flags` Bool,
    `note` Nullable(String),
    `_us__available_at` Int64 EPHEMERAL,
    `_available_at` DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(`_us__available_at`, 'UTC'),
    _seq UInt64,
    _idx UInt32,
    _gen UInt64,
    _row UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(`at`)
ORDER BY (`at`, _seq, _idx)
SETTINGS non_replicated_deduplication_window = 10000
