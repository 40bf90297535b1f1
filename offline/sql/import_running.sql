-- Inserts of an import that ClickHouse works on, whoever began them.
SELECT count() FROM system.processes WHERE startsWith(Settings['insert_deduplication_token'], {prefix:String})
