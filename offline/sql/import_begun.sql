SELECT any(name), any(hash), max(at)
FROM imports
WHERE source = {source:String} AND generation = {generation:UInt64}
