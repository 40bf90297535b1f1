ALTER TABLE {{.Table}} DELETE WHERE {{template "erased" .}} SETTINGS mutations_sync = 2
