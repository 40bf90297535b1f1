ALTER TABLE {{.}} DELETE WHERE _gen = {generation:UInt64} AND _row >= {from:UInt64} SETTINGS mutations_sync = 2
