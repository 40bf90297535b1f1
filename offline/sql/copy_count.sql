SELECT count(), countIf(NOT _same)
FROM {{template "copies" .}}
