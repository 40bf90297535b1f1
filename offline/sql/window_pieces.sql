-- How many values the maps of windows hold for each block of spine rows, and between which instants its rows lie. A map has one
-- for each different value, of which there are at most as many as there are values in the window, and in all events.
WITH (SELECT toInt64(greatest({{range .Swept}}uniqCombinedIf(_v{{.Index}}, _h{{.Index}} = 1), {{end}}0)) FROM {{template "held" .}} AS _held) AS _different
SELECT _rows._block, _first, _last, _values
FROM
(
    SELECT intDiv(_rid, {block:UInt64}) AS _block, min(_t) AS _first, max(_t) AS _last
    FROM {{.Spine}}
    GROUP BY _block
) AS _rows
LEFT JOIN
(
    SELECT intDiv(_rid, {block:UInt64}) AS _block, toFloat64(sum({{range $i, $c := .Plan.Ranged}}{{if $i}} + {{end}}least(_y{{$i}}, _different){{end}})) AS _values
    FROM ({{.Counts}})
    GROUP BY _block
) AS _windows ON _rows._block = _windows._block
ORDER BY _rows._block
