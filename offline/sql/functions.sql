-- The functions of the server by their names in small letters, and whether SQL of users may call them: those of categories
-- that only compute, a few of the rest, and aggregate functions. Functions that somebody added are none of them.
WITH
    (
        SELECT groupArray(name)
        FROM system.functions
        WHERE origin = 'System' AND (
            is_aggregate
            OR categories IN (
                'Arithmetic', 'Arrays', 'Bit', 'Bitmap', 'Comparison', 'Conditional', 'Dates and Times', 'Distance', 'Encoding', 'Financial',
                'Geo', 'Geo Polygon', 'Hash', 'IP Address', 'JSON', 'Logical', 'Map', 'Mathematical', 'Null', 'Random Number', 'Rounding',
                'String', 'String Replacement', 'String Search', 'String Splitting', 'Time Window', 'Tuple', 'Type Conversion', 'URL', 'UUID')
            OR name IN (
                'caseWithExpression', 'transform', 'identity', 'materialize', 'ignore', 'toTypeName', 'toColumnTypeName', 'bar',
                'formatReadableSize', 'formatReadableDecimalSize', 'formatReadableQuantity', 'formatReadableTimeDelta', 'finalizeAggregation',
                'initializeAggregation', 'rowNumberInAllBlocks', 'rowNumberInBlock', 'runningDifference', 'runningAccumulate', 'neighbor',
                'isConstant', 'byteSize', 'getSubcolumn', 'variantElement', 'variantType', 'throwIf', 'minSampleSizeConversion',
                'minSampleSizeContinuous', 'countDigits', 'defaultValueOfTypeName', 'defaultValueOfArgumentType', 'currentDatabase'))
    ) AS computing
SELECT
    lower(name) AS function,
    max(has(computing, name) OR (alias_to != '' AND has(computing, alias_to))) AS computes
FROM system.functions
GROUP BY function
