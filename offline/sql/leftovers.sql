SELECT groupArray(name)
FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, {prefix:String})
    AND metadata_modification_time <= now() - toIntervalSecond({age:Int64})
