-- The clock of a view (rule C4), and how many events it is over.
SELECT count(), max(least({{.EventMicros}}, {{.AvailableMicros}}))
FROM {{.Table}}
WHERE {{template "visible" .}}
