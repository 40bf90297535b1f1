package chdb_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

// TestHTTP asks as clients other than the driver may.
func TestHTTP(t *testing.T) {
	t.Parallel()
	engine := chtest.Engine(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return engine.DialContext(ctx, addr)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(zip, "SELECT 'zipped'"); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		query    url.Values
		encoding string
		body     string
		status   int
		want     string
	}{
		{name: "plain", body: "SELECT 1, 'a'", status: 200, want: "1\ta\n"},
		{name: "a FORMAT clause", body: "SELECT 1 AS a FORMAT CSVWithNames", status: 200, want: "\"a\"\n1\n"},
		{name: "a format that is one document", body: "SELECT number AS n FROM numbers(3) SETTINGS max_block_size = 1 FORMAT JSONColumns", status: 200, want: "{\n\t\"n\": [0, 1, 2]\n}\n"},
		{name: "gzip", encoding: "gzip", body: zipped.String(), status: 200, want: "zipped\n"},
		{name: "not gzip", encoding: "gzip", body: "SELECT 1", status: 500, want: "gzip"},
		{name: "brotli", encoding: "br", body: "SELECT 1", status: 500, want: "Content-Encoding br"},
		{name: "block compression", query: url.Values{"compress": {"1"}}, body: "SELECT 1", status: 500, want: "Compression"},
		{name: "a session", query: url.Values{"session_id": {"x"}}, body: "SELECT 1", status: 500, want: "sessions"},
		{name: "nothing", status: 400, want: "Empty query"},
		{name: "query and body", query: url.Values{"query": {"SELECT"}}, body: "2", status: 200, want: "2\n"},
		{name: "rows in the body", query: url.Values{"query": {"INSERT INTO FUNCTION null('a Int8') FORMAT CSV"}}, body: "1\n2\n", status: 200},
		{name: "values in the body", query: url.Values{"query": {"INSERT INTO FUNCTION null('a Int8') VALUES"}}, body: "(1), (2)", status: 200},
		{name: "rows that are none", query: url.Values{"query": {"INSERT INTO FUNCTION null('a Int8') FORMAT CSV"}}, body: "x\n", status: 500, want: "Code: 117"},
		{name: "Native that is none", query: url.Values{"query": {"INSERT INTO FUNCTION null('a Int8') FORMAT Native"}}, body: "\x01\xff\xff\xff\xff\x0f", status: 500, want: "Code: "},
		// What a request sets, makes or brings is gone with it, whoever gets its session.
		{name: "a setting", query: url.Values{"max_block_size": {"7"}}, body: "SELECT getSetting('max_block_size')", status: 200, want: "7\n"},
		{name: "another", query: url.Values{"max_block_size": {"8"}}, body: "SELECT getSetting('max_block_size')", status: 200, want: "8\n"},
		{name: "a SET", query: url.Values{"max_block_size": {"7"}}, body: "SET max_block_size = 9", status: 200},
		{name: "the first setting again", query: url.Values{"max_block_size": {"7"}}, body: "SELECT getSetting('max_block_size')", status: 200, want: "7\n"},
		{name: "no setting", body: "SELECT getSetting('max_block_size') > 9", status: 200, want: "1\n"},
		{name: "a value of two lines", query: url.Values{"log_comment": {"a\n'b'"}}, body: "SELECT getSetting('log_comment')", status: 200, want: "a\\n\\'b\\'\n"},
		{name: "a table", body: "CREATE TEMPORARY TABLE passing (a Int8)", status: 200},
		{name: "the table again", body: "SELECT * FROM passing", status: 404, want: "Code: 60"},
		{name: "a parameter", query: url.Values{"param_n": {"5"}}, body: "SELECT {n:Int64}", status: 200, want: "5\n"},
		{name: "the parameter again", body: "SELECT {n:Int64}", status: 500, want: "Code: 456"},
		{name: "readonly", query: url.Values{"readonly": {"1"}, "max_block_size": {"7"}}, body: "CREATE TEMPORARY TABLE passing (a Int8)", status: 400, want: "Code: 164"},
		{name: "readonly reads", query: url.Values{"readonly": {"1"}, "max_block_size": {"7"}}, body: "SELECT getSetting('max_block_size')", status: 200, want: "7\n"},
		{name: "not readonly", query: url.Values{"max_block_size": {"7"}}, body: "CREATE TEMPORARY TABLE passing (a Int8)", status: 200},
		{name: "a database", query: url.Values{"database": {"system"}}, body: "SELECT currentDatabase()", status: 200, want: "system\n"},
		{name: "no database", body: "SELECT currentDatabase()", status: 200, want: "default\n"},
		{name: "an unknown setting", query: url.Values{"max_blocks_of_size": {"7"}}, body: "SELECT 1", status: 400, want: "Code: 115"},
		{name: "an unknown format", body: "SELECT 1 FORMAT Nope", status: 500, want: "Code: 73"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/?"+tc.query.Encode(), strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Encoding", tc.encoding)
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		matches := string(body) == tc.want
		if tc.status != 200 {
			matches = strings.Contains(string(body), tc.want) && response.Header.Get("X-ClickHouse-Exception-Code") != ""
		}
		if err != nil || response.StatusCode != tc.status || !matches {
			t.Errorf("%s: %d %q, %v, want %d %q", tc.name, response.StatusCode, body, err, tc.status, tc.want)
		}
	}
	if got := engine.Restarts(); got != 0 {
		t.Errorf("the engine crashed %d times", got)
	}
}
