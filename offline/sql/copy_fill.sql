-- What the table has past the cursor, in our types (rules T1, V1 and V2), with the number of the first thing wrong with a row.
INSERT INTO {{.Stage}} (_no, _cursor, _bad, _raw{{range .Columns}}, {{.Name}}{{end}})
SELECT
    rowNumberInAllBlocks(),
    _cursor,
    _bad,
    if(_bad = 0, '', concat('{', {{range $i, $c := .Columns}}{{if $i}}, ',', {{end}}{{$c.Label}}, ifNull({{$c.JSON}}, 'null'){{end}}, '}'))
{{- range .Columns}},
    {{.Name}}
{{- end}}
FROM
(
    SELECT *, multiIf({{range .Faults}}{{.When}}, {{.Number}}, {{end}}0) AS _bad
    FROM
    (
        SELECT
            *,
            {{.Cursor}} AS _cursor
{{- range .Columns}},
            {{.Value}} AS {{.Name}}
{{- end}}
        FROM
        (
            SELECT
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
                {{$c.Theirs}} AS {{$c.In}}
{{- end}}
{{- with .CursorColumn}},
                {{.}} AS _lockstep_cursor
{{- end}}
            FROM {{.From}} AS _lockstep
{{- with .Where}}
            WHERE {{.}}
{{- end}}
        )
    )
)
