SELECT substring(name, length({prefix:String}) + 1), ifNull(total_rows, 0), ifNull(total_bytes, 0)
FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, {prefix:String})
ORDER BY name
