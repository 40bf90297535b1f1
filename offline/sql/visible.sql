{{define "visible" -}}
_seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)}
{{- range .KeyNames}} AND {{.}} IS NOT NULL{{end}}
{{- end}}
