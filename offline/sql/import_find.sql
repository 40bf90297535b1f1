-- The imports of a file of one content that did not come to a bad end: those that the log names first, then whole ones, then the newest.
SELECT generation, steps.of, steps.version, steps.file, steps.content, steps.row_count, toUnixTimestamp64Micro(steps.last_at), steps.last_state = 'whole', place != 0, members <= 1
FROM
(
    SELECT
        generation,
        argMax(edition, at) AS of,
        argMax(version, at) AS version,
        any(name) AS file,
        any(hash) AS content,
        argMax(rows, at) AS row_count,
        argMax(state, at) AS last_state,
        max(at) AS last_at
    FROM imports
    WHERE source = {source:String}
    GROUP BY generation
) AS steps
LEFT JOIN
(
    SELECT generation, min(seq) AS place FROM generations WHERE source = {source:String} GROUP BY generation
) AS named USING generation
LEFT JOIN
(
    SELECT of, count() AS members
    FROM (SELECT generation, max(edition) AS of FROM generations WHERE source = {source:String} GROUP BY generation)
    GROUP BY of
) AS editions ON steps.of = editions.of
WHERE content = {hash:String} AND last_state != 'aborted'
ORDER BY place != 0 DESC, last_state = 'whole' DESC, generation DESC
