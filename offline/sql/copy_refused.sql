SELECT _bad, _raw, {past:Bool} OR _cursor > {cursor:Int64} AS _new
FROM {{.Stage}}
WHERE _bad != 0
ORDER BY _new DESC, _no
LIMIT {n:Int64}
