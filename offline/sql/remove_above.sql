ALTER TABLE {{.Table}} DELETE WHERE {{.Column}} > {seq:UInt64} SETTINGS mutations_sync = 2
