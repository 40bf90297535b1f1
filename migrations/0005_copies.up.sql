-- Rows of imports that are no events because they are copies of one (rule E1), with the place of that one's arrival
CREATE TABLE IF NOT EXISTS copies
(
    source String,
    generation UInt64,
    row UInt64, -- in the file
    conflict Bool, -- it differs
    of_seq UInt64,
    of_row UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (source, generation, row)
