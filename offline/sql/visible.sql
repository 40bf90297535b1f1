{{define "visible" -}}
_seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)}
{{- range .KeyNames}} AND {{.}} IS NOT NULL{{end}}
{{- end}}
{{define "keyed"}}(SELECT _rid, _t{{range $i, $k := .SpineKeys}}, {{$k.Expr}} AS _k{{$i}}{{end}} FROM {{.Spine}} WHERE {{range $i, $k := .SpineKeys}}{{if $i}} AND {{end}}{{$k.Column}} IS NOT NULL{{end}}){{end}}
{{define "erased" -}}
_seq < {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND {{.Match}}
{{- end}}
