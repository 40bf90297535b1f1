SELECT count() FROM {{.Table}} WHERE {{template "erased" .}}
