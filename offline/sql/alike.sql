-- Rows of a generation whose id others of it have too, id by id in the order of their arrival (rule E1).
SELECT
{{- range $i, $id := .IDs}}
    {{$id}} AS _i{{$i}},
{{- end}}
    {{.EventMicros}} AS _t,
    {{.Sum}} AS _sum,
    _row
FROM {{.Table}}
WHERE _gen = {generation:UInt64}
    AND ({{join .IDs ", "}}) IN
    (
        SELECT {{join .IDs ", "}}
        FROM {{.Table}}
        WHERE _gen = {generation:UInt64}
        GROUP BY {{join .IDs ", "}}
        HAVING count() > 1
    )
ORDER BY {{join .IDAliases ", "}}, _row
SETTINGS max_bytes_before_external_group_by = 1000000000, max_bytes_before_external_sort = 1000000000
