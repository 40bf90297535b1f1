-- How far the event tables cover the log. Never computed from the events themselves
CREATE TABLE IF NOT EXISTS watermarks
(
    log String,
    seq UInt64,
    reached_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(seq)
ORDER BY log
