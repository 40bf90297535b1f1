{{define "copies" -}}
(
    -- Rows of the copy that an event is known for (rule E1), and whether an equal one is.
    SELECT _s._no AS _no, max(_s._hash = _k._hash) AS _same
    FROM (SELECT _no, assumeNotNull({{.EventTime}}) AS _time, {{.StageHash}} AS _hash, {{join .ID ", "}} FROM {{.Stage}} WHERE _bad = 0) AS _s
    JOIN {{.Known}} AS _k ON {{range $i, $c := .ID}}{{if $i}} AND {{end}}_s.{{$c}} = _k.{{$c}}{{end}}
    WHERE abs(_s._time - _k._time) <= {dedup:Int64}
    GROUP BY _s._no
)
{{- end}}
{{define "added"}}_bad = 0 AND _no NOT IN (SELECT _no FROM {{template "copies" .}}){{end}}
