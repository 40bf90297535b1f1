CREATE TABLE IF NOT EXISTS `events_bench`
(
    `k` Nullable(Int64),
    `_us_event_time` Int64 EPHEMERAL,
    `event_time` DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(`_us_event_time`, 'UTC'),
    `f` Nullable(Float64),
    `n` Nullable(Int64),
    `_us__available_at` Int64 EPHEMERAL,
    `_available_at` DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(`_us__available_at`, 'UTC'),
    _seq UInt64,
    _idx UInt32,
    _gen UInt64,
    _row UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(`event_time`)
ORDER BY (`event_time`, _seq, _idx)
SETTINGS non_replicated_deduplication_window = 10000
