-- Copies of tables that others keep, a row for each step. The last step of a generation counts, and only if the log names it
CREATE TABLE IF NOT EXISTS table_copies
(
    source String,
    generation UInt64,
    previous UInt64, -- the generation whose cursor it went on from, 0 for none
    origin String, -- what was copied; a cursor is one of its origin
    cursor Nullable(Int64), -- the greatest one met: microseconds or a number
    state String, -- begun, then whole or aborted
    read Int64,
    rows Int64,
    duplicates Int64,
    conflicts Int64,
    refused Int64,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (source, generation)
