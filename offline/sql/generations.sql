SELECT arraySort(groupArray(generation))
FROM (SELECT generation, max(edition) AS of FROM generations WHERE source = {source:String} GROUP BY generation HAVING min(seq) <= {seq:UInt64})
WHERE of = {edition:UInt64} OR {edition:UInt64} = {all:UInt64}
