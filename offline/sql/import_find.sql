SELECT generation, row_count
FROM
(
    SELECT generation, argMax(rows, at) AS row_count, argMax(state, at) AS last_state, any(hash) AS content
    FROM imports
    WHERE source = {source:String}
    GROUP BY generation
)
WHERE content = {hash:String} AND last_state = 'whole'
ORDER BY generation IN (SELECT generation FROM generations WHERE source = {source:String}) DESC, generation DESC
LIMIT 1
