SELECT
    count(),
    min(_t),
    max(_t),
    countIf(_t NOT BETWEEN {min:Int64} AND {max:Int64}),
    minIf(_rid, _t NOT BETWEEN {min:Int64} AND {max:Int64})
FROM {{.Table}}
