package offline_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

// hostile is SQL that must not run, whatever it would do.
var hostile = []string{
	// Not a SELECT.
	"INSERT INTO imports SELECT * FROM imports", "DROP TABLE imports", "DROP DATABASE lockstep", "TRUNCATE TABLE imports", "ALTER TABLE imports DELETE WHERE 1",
	"ATTACH TABLE x FROM '/etc' (a String) ENGINE = File(TSV)", "DETACH TABLE imports", "RENAME TABLE imports TO x", "CREATE TABLE x (a Int8) ENGINE = Memory",
	"CREATE FUNCTION f AS x -> x", "CREATE USER u", "GRANT ALL ON *.* TO default", "KILL QUERY WHERE 1", "SYSTEM SHUTDOWN", "SYSTEM STOP MERGES", "OPTIMIZE TABLE imports",
	"SET readonly = 0", "USE system", "BACKUP TABLE imports TO File('x')", "EXPLAIN SELECT 1", "EXPLAIN AST SELECT 1", "SHOW DATABASES", "SHOW TABLES FROM system",
	"SHOW CREATE TABLE imports", "SHOW PROCESSLIST", "SHOW GRANTS", "DESCRIBE TABLE system.users", "DESCRIBE TABLE url('http://127.0.0.1:1/', CSV)", "DESCRIBE imports SETTINGS readonly = 0",
	"EXISTS TABLE imports", "CHECK TABLE imports", "EXECUTE AS u SELECT 1", "DELETE FROM imports WHERE 1", "UPDATE imports SET source = 'x' WHERE 1", "MOVE USER u TO x", "",
	// More than one statement, and ways out of the parentheses that we put around.
	"SELECT 1; DROP TABLE imports", "SELECT 1;;SELECT 2", "SELECT 1) INTO OUTFILE 'OUT' --", "SELECT 1) FORMAT Null --", "SELECT 1) SETTINGS readonly=0 --", "SELECT 1); DROP TABLE imports --",
	"SELECT 1) AS a, (SELECT 2", "SELECT 1) UNION ALL (SELECT 2", "SELECT 1) WHERE 1 IN (SELECT 2", "SELECT 1 /*", "SELECT 1 '", "SELECT 1 \"", "SELECT 1 # )\n) --",
	"SELECT (1", "SELECT 1))", ")", "(", "SELECT 1 INTO OUTFILE 'OUT'", "SELECT 1 INTO OUTFILE 'OUT' TRUNCATE FORMAT CSV", "SELECT 1 FORMAT CSV", "SELECT 1 FORMAT Null", "(SELECT 1 INTO OUTFILE 'OUT')",
	"SELECT * FROM (SELECT 1 INTO OUTFILE 'OUT')", "WITH x AS (SELECT 1 FORMAT CSV) SELECT * FROM x", "SELECT 1 \x00; DROP TABLE imports", "SELECT $$ ) $$) --",
	// Settings.
	"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_memory_usage = 0", "SELECT 1 SETTINGS max_execution_time = 0", "SELECT * FROM (SELECT 1 SETTINGS allow_introspection_functions = 1)",
	"WITH x AS (SELECT 1 SETTINGS readonly = 2) SELECT * FROM x", "SELECT 1 UNION ALL SELECT 2 SETTINGS max_threads = 1", "SELECT * FROM numbers(1 SETTINGS max_threads = 1)",
	// Table functions.
	"SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'CSV', 'a String')",
	"SELECT * FROM remote('127.0.0.1:1', system.one)", "SELECT * FROM remoteSecure('127.0.0.1:1', system.one)", "SELECT * FROM cluster('default', system.one)", "SELECT * FROM clusterAllReplicas('default', system.one)",
	"SELECT * FROM executable('id', TSV, 'a String')", "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')", "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
	"SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')", "SELECT * FROM sqlite('/tmp/x.db', 't')", "SELECT * FROM odbc('DSN=x', 'd', 't')", "SELECT * FROM jdbc('x', 'd', 't')",
	"SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'a String')", "SELECT * FROM azureBlobStorage('x', 'y', 'z')", "SELECT * FROM deltaLake('http://127.0.0.1:1/')", "SELECT * FROM iceberg('http://127.0.0.1:1/')",
	"SELECT * FROM input('a String')", "SELECT * FROM merge('system', '.*')", "SELECT * FROM merge('.*')", "SELECT * FROM dictionary('d')", "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
	"SELECT * FROM generateRandom('a String')", "SELECT * FROM view(SELECT * FROM system.users)", "SELECT * FROM viewIfPermitted(SELECT 1 AS a ELSE null('a Int8'))", "SELECT * FROM loop(system.one)",
	"SELECT * FROM fuzzQuery('SELECT 1')", "SELECT * FROM format(CSV, 'a')", "SELECT * FROM mergeTreeIndex(currentDatabase(), imports)", "SELECT * FROM python('x')", "SELECT * FROM URL('http://127.0.0.1:1/', CSV, 'a String')",
	"SELECT * FROM `url`('http://127.0.0.1:1/', CSV, 'a String')", "SELECT * FROM imports JOIN url('http://127.0.0.1:1/', CSV, 'a String') AS u ON 1", "SELECT (SELECT count() FROM file('/etc/passwd', 'LineAsString'))",
	"SELECT 1 IN (SELECT a FROM url('http://127.0.0.1:1/', CSV, 'a UInt8'))", "WITH x AS (SELECT * FROM file('/etc/passwd', 'LineAsString')) SELECT * FROM x", "SELECT 1 UNION ALL SELECT a FROM url('http://127.0.0.1:1/', CSV, 'a UInt8')",
	"SELECT exists(SELECT * FROM file('/etc/passwd', 'LineAsString'))", "SELECT * FROM (EXPLAIN SELECT 1)", "SELECT * FROM imports ARRAY JOIN (SELECT groupArray(line) FROM file('/etc/passwd', 'LineAsString')) AS l",
	// Tables that are not ours.
	"SELECT * FROM system.users", "SELECT * FROM system.tables", "SELECT * FROM `system`.`processes`", "SELECT * FROM \"system\".settings", "SELECT * FROM information_schema.tables", "SELECT * FROM INFORMATION_SCHEMA.COLUMNS",
	"SELECT * FROM default.x", "SELECT 'default' IN system.users", "SELECT 1 WHERE 'a' NOT IN system.users", "SELECT 1 WHERE 'a' GLOBAL IN system.users", "SELECT in('a', system.users)", "SELECT notIn('a', `system`.users)",
	"WITH system AS (SELECT 1) SELECT * FROM system.users", "SELECT (SELECT count() FROM system.one)", "SELECT * FROM imports AS a JOIN system.one AS b ON 1", "SELECT * FROM tmp_spine_1_x", "SELECT 1 IN tmp_spine_1_x",
	"SELECT system.users.name FROM system.users", "SELECT * FROM imports WHERE source IN (SELECT name FROM system.users)", "SELECT * FROM \"system\n.users\".x", "SELECT \"a\n      Literal 1\", 1 IN system.users",
	"SELECT \"a (children 1)\n            Literal 1\", (SELECT 1 FROM system.one)",
	// Functions that do more than compute.
	"SELECT file('/etc/passwd')", "SELECT FILE('/etc/passwd')", "SELECT `file`('/etc/passwd')", "SELECT dictGet('d', 'a', 1)", "SELECT dictGetOrDefault('d', 'a', 1, 2)", "SELECT dictHas('d', 1)", "SELECT joinGet('system.x', 'a', 1)",
	"SELECT joinGetOrNull('x', 'a', 1)", "SELECT getSetting('max_threads')", "SELECT getServerSetting('max_connections')", "SELECT getMacro('x')", "SELECT hostName()", "SELECT hostname()", "SELECT fullHostName()", "SELECT FQDN()",
	"SELECT currentUser()", "SELECT user()", "SELECT version()", "SELECT uptime()", "SELECT serverUUID()", "SELECT showCertificate()", "SELECT sleep(3)", "SELECT sleepEachRow(1) FROM numbers(100)", "SELECT tcpPort()",
	"SELECT filesystemAvailable()", "SELECT hasColumnInTable('system', 'users', 'name')", "SELECT addressToSymbol(1)", "SELECT addressToLine(1)", "SELECT logTrace('x')", "SELECT catboostEvaluate('/tmp/x', 1)", "SELECT aiGenerate('c', 'p')",
	"SELECT getClientHTTPHeader('x')", "SELECT globalVariable('x')", "SELECT evalMLMethod(1, 2)", "SELECT regionToName(1)", "SELECT naiveBayesClassifier('m', 'x')", "SELECT arrayMap(file, ['/etc/passwd'])", "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
	"SELECT arrayFilter(sleep, [1])", "SELECT * APPLY(file) FROM imports", "SELECT * APPLY(x -> file(x)) FROM imports", "SELECT COLUMNS('source') APPLY file FROM imports", "SELECT source REPLACE FROM (SELECT * REPLACE(file(source) AS source) FROM imports)",
	"SELECT count() FROM imports WHERE file(source) != ''", "SELECT 1 ORDER BY file('/etc/passwd')", "SELECT max(1) OVER (ORDER BY file('/etc/passwd'))", "SELECT 1 GROUP BY file('/etc/passwd')", "SELECT sumIf(1, file('/etc/passwd') != '')", "SELECT nobodyKnowsThis(1)",
	"SELECT 1 LIMIT file('/etc/passwd')", "SELECT [file('/etc/passwd')]", "SELECT (1, file('/etc/passwd'))", "SELECT CAST(file('/etc/passwd') AS String)", "SELECT if(1, file('/etc/passwd'), '')", "SELECT __getScalar('x')",
	"SELECT {x:Identifier}", "SELECT * FROM {x:Identifier}",
}

// TestHostileSQL runs SQL that tries to do more than read, as a look, as a spine, and inside other SQL. Nothing of it
// runs, and each is the caller's error.
func TestHostileSQL(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	out := filepath.Join(t.TempDir(), "out")
	plan := newPlan(t, newCatalog(), "model")
	for _, sql := range hostile {
		sql = strings.ReplaceAll(sql, "OUT", out)
		for what, run := range map[string]func() error{
			"look":  func() error { _, err := store.Query(t.Context(), sql, 10); return err },
			"spine": func() error { _, err := store.Train(t.Context(), offline.Training{Plan: plan, SQL: sql}); return err },
		} {
			err := run()
			if !errors.Is(err, feature.ErrInvalid) {
				t.Errorf("%s %q = %v, want a CodeInvalid error", what, sql, err)
			} else if text := err.Error(); strings.Contains(text, "root:") || strings.Contains(text, "127.0.0.1:1") && strings.Contains(text, "refused") {
				t.Errorf("%s %q ran: %v", what, sql, err)
			}
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
	if got, err := store.Query(t.Context(), "SELECT count() FROM imports", 1); err != nil || got.Rows[0][0].Int64() != 0 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

// TestFriendlySQL: what people ask is not refused.
func TestFriendlySQL(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for _, sql := range []string{
		"SELECT 1", "select 1;", " ( SELECT 1 ) ", "SELECT 1 -- all", "SELECT 1 /* all */", "SELECT 1 -- )", "FROM imports SELECT count()", "SELECT * FROM imports", "SELECT count(), max(generation) FROM imports GROUP BY source WITH TOTALS",
		"WITH t AS (SELECT number AS n FROM numbers(10)) SELECT sum(n), n % 3 AS k FROM t WHERE n IN (1, 2, 3) AND n NOT IN (SELECT 5) GROUP BY k HAVING k > 0 ORDER BY k DESC LIMIT 1 BY k LIMIT 5 OFFSET 0",
		"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r", "SELECT * FROM values('a Int64, b String', (1, 'x'), (2, 'y;)'))",
		"SELECT a.number, b.number FROM numbers(3) AS a LEFT JOIN numbers(2) AS b ON a.number = b.number", "SELECT sumIf(number, number > 1), countIf(number > 1), quantile(0.9)(number), uniqExact(number), argMax(number, number), groupArray(3)(number) FROM numbers(9)",
		"SELECT x::Int64, CAST('1', 'Int8'), CASE WHEN x = 1 THEN 'a' ELSE 'b' END, CASE x WHEN 1 THEN 2 END, [1, 2][1], (1, 2).1, NOT 1, x BETWEEN 0 AND 2, -x FROM (SELECT 1 AS x)",
		"SELECT toStartOfHour(toDateTime('2026-01-01 10:30:00', 'UTC')) + INTERVAL 1 DAY, now() > toDateTime(0), dateDiff('day', toDate('2026-01-01'), toDate('2026-02-01')), formatDateTime(toDateTime(0), '%F')",
		"SELECT row_number() OVER (PARTITION BY number % 2 ORDER BY number), lagInFrame(number) OVER w FROM numbers(5) WINDOW w AS (ORDER BY number)", "SELECT arrayMap(x -> x + 1, [1, 2]), arrayMap(lower, ['A']), arrayJoin([1, 2]), mapKeys(map('a', 1)), tupleElement((1, 2), 1)",
		"SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3", "SELECT 1 EXCEPT SELECT 2", "SELECT DISTINCT number % 2 FROM numbers(5)", "SELECT number FROM numbers(5) ORDER BY number WITH FILL FROM 0 TO 9 INTERPOLATE", "SELECT * EXCEPT(source) FROM imports",
		"SELECT COLUMNS('sour'), i.* FROM imports AS i", "SELECT 'a\nb', 'it''s', '{x:Identifier}', 'SETTINGS', 'system.users'", "SELECT exists(SELECT 1)", "SELECT LOWER('A'), SUM(1), substr('abc', 2), regexp_replace('a', 'b', 'c'), splitByChar(',', 'a,b'), JSONExtractInt('{\"a\":1}', 'a')",
		"SELECT rand() % 2 < 2, cityHash64('a'), toInt64OrNull('x'), coalesce(NULL, 1), if(1, 2, 3), multiIf(1, 2, 3), round(1.5), greatest(1, 2), transform(1, [1], [2], 3)", "SHOW TABLES", "show tables;", "DESCRIBE imports", "DESC TABLE imports;",
		"SELECT number FROM numbers(5) AS n ASOF JOIN (SELECT 1 AS k, 1 AS t) AS r ON n.number = r.k AND n.number >= r.t",
	} {
		if _, err := store.Query(t.Context(), sql, 100); err != nil {
			t.Errorf("Query(%q) = %v", sql, err)
		}
	}
}

// TestSQLLimits: a statement ends at its limits.
func TestSQLLimits(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for _, sql := range []string{
		"SELECT repeat('x', 1000000) FROM numbers(100)",                                  // the answer
		"SELECT length(groupArray(repeat(toString(number), 50000))) FROM numbers(30000)", // memory
	} {
		_, err := store.Query(t.Context(), sql, 0)
		if !errors.Is(err, feature.ErrInvalid) && !errors.Is(err, feature.ErrTooLarge) && !errors.Is(err, feature.ErrOverloaded) {
			t.Errorf("Query(%q) = %v", sql, err)
		}
	}
}
