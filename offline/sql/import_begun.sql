SELECT any(name), any(hash)
FROM imports
WHERE source = {source:String} AND generation = {generation:UInt64}
