-- Some keys that have a visible event at or before hi, the same ones each time.
SELECT
{{- range $i, $key := .Keys}}{{if $i}},{{end}}
    {{$key}} AS _k{{$i}}
{{- end}}
FROM {{.Table}}
WHERE {{template "visible" .}}
    AND {{.EventTime}} <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
GROUP BY {{join .KeyAliases ", "}}
ORDER BY sipHash64({{join .KeyAliases ", "}}, {salt:Int64}), {{join .KeyAliases ", "}}
LIMIT {n:Int64}
