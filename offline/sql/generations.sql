SELECT arraySort(groupArray(generation))
FROM (SELECT generation FROM generations WHERE source = {source:String} GROUP BY generation HAVING min(seq) <= {seq:UInt64})
