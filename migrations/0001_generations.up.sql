-- The import generations that the log has named, with the place of their first records in it (rule C3)
CREATE TABLE IF NOT EXISTS generations
(
    source String,
    generation UInt64,
    seq SimpleAggregateFunction(min, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (source, generation)
