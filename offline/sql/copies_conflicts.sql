SELECT row, of_seq, of_row FROM copies FINAL
WHERE source = {source:String} AND generation = {generation:UInt64} AND conflict
ORDER BY row
LIMIT {limit:Int64}
