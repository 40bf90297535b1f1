-- Files that went into the history, a row for each step. The last step of a generation counts
CREATE TABLE IF NOT EXISTS imports
(
    source String,
    generation UInt64,
    name String,
    hash String,
    state String, -- begun, then whole or aborted
    rows Int64,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (source, generation)
