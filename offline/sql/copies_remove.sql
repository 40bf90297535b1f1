ALTER TABLE {{.}} DELETE WHERE _gen = {generation:UInt64} AND _row IN (SELECT row FROM copies WHERE source = {source:String} AND generation = {generation:UInt64})
SETTINGS mutations_sync = 2
