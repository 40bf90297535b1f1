-- How many keys have an event, and how many events are later than an instant.
SELECT uniq({{join .KeyNames ", "}}), countIf({{.EventTime}} > fromUnixTimestamp64Micro({from:Int64}, 'UTC'))
FROM {{.Table}}
WHERE {{template "visible" .}}
