-- The copies of a source that matter: those without an end, those that the log does not name, and the one that it named last.
SELECT generation, last_state, last_previous, last_origin, last_cursor.1, last_read, last_rows, last_duplicates, last_conflicts, last_refused, place
FROM
(
    SELECT
        generation,
        argMax(state, at) AS last_state,
        argMax(previous, at) AS last_previous,
        argMax(origin, at) AS last_origin,
        argMax(tuple(cursor), at) AS last_cursor,
        argMax(read, at) AS last_read,
        argMax(rows, at) AS last_rows,
        argMax(duplicates, at) AS last_duplicates,
        argMax(conflicts, at) AS last_conflicts,
        argMax(refused, at) AS last_refused
    FROM table_copies
    WHERE source = {source:String}
    GROUP BY generation
) AS steps
LEFT JOIN
(
    SELECT generation, min(seq) AS place
    FROM generations
    WHERE source = {source:String}
    GROUP BY generation
) AS named USING generation
WHERE last_state != 'aborted'
ORDER BY place = 0 DESC, place DESC
LIMIT 1 BY if(place = 0, generation, 0)
