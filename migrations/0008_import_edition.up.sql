-- The edition that an import goes into (rule E2), and the version that the source had
ALTER TABLE imports ADD COLUMN IF NOT EXISTS edition UInt64, ADD COLUMN IF NOT EXISTS version Int64
