-- Rows of a generation that are copies of events that arrived before it (rule E1), each with the first of these to
-- arrive. Events of one id are more than dedup apart, so a bucket of time of that width holds one of them at the
-- most, and a row has to be compared with three buckets, whatever there is of its id.
INSERT INTO copies (source, generation, row, conflict, of_seq, of_row)
SELECT {source:String}, {generation:UInt64}, _row, _first.3, _first.1, _first.2
FROM
(
    SELECT _new._row AS _row, min(tuple(_old._place, _old._place_row, toUInt8(_old._sum != _new._sum))) AS _first
    FROM
    (
        SELECT
{{- range $i, $id := .IDs}}
            {{$id}} AS _i{{$i}},
{{- end}}
            {{.EventMicros}} AS _t,
            {{.Sum}} AS _sum,
            {{.Place}} AS _place,
            {{.PlaceRow}} AS _place_row,
            arrayJoin([_bucket - 1, _bucket, _bucket + 1]) AS _b,
            intDiv(_t + {{.TimeBase}}, {width:Int64}) AS _bucket
        FROM {{.Table}}
        WHERE {{template "visible" .}}
            AND {{.EventTime}} >= fromUnixTimestamp64Micro({oldest:Int64}, 'UTC') AND {{.EventTime}} <= fromUnixTimestamp64Micro({newest:Int64}, 'UTC')
    ) AS _old
    INNER JOIN
    (
        SELECT
{{- range $i, $id := .IDs}}
            {{$id}} AS _i{{$i}},
{{- end}}
            {{.EventMicros}} AS _t,
            {{.Sum}} AS _sum,
            _row,
            intDiv(_t + {{.TimeBase}}, {width:Int64}) AS _b
        FROM {{.Table}}
        WHERE _gen = {generation:UInt64}
            AND {{.EventTime}} >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND {{.EventTime}} <= fromUnixTimestamp64Micro({to:Int64}, 'UTC')
    ) AS _new
    ON _old._b = _new._b{{range $i, $id := .IDs}} AND _old._i{{$i}} = _new._i{{$i}}{{end}}
    WHERE abs(_old._t - _new._t) <= {dedup:Int64}
    GROUP BY _new._row
)
