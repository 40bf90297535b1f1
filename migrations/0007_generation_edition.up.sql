-- The edition that each generation belongs to (rule E2): the generation that began it, 0 for the first one
ALTER TABLE generations ADD COLUMN IF NOT EXISTS edition SimpleAggregateFunction(max, UInt64)
