INSERT INTO {{.Table}} (_rid, _t, {{.Time}}, {{join .Keys ", "}})
SELECT rowNumberInAllBlocks(), _t, {{.Time}}, {{join .Keys ", "}}
FROM (SELECT DISTINCT _t, {{.Time}}, {{join .Keys ", "}} FROM {{.From}} ORDER BY {{join .Keys ", "}})
