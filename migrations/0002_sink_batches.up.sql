-- The sink's batches, each recorded before its rows go in. The last one is open while it ends above the watermark
CREATE TABLE IF NOT EXISTS sink_batches
(
    log String,
    first UInt64,
    last UInt64,
    begun_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(last)
ORDER BY log
