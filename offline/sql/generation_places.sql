SELECT groupArray(generation), groupArray(place)
FROM (SELECT generation, min(seq) AS place FROM generations WHERE source = {source:String} GROUP BY generation)
