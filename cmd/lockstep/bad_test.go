package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestBadInput sends the cases of testdata/bad to one server; the README there says how they are written.
func TestBadInput(t *testing.T) {
	b := startBad(t)
	sent := 0
	for _, name := range []string{"definitions", "http", "feast", "files", "inbox", "commands"} {
		t.Run(name, func(t *testing.T) {
			datadriven.RunTest(t, filepath.Join("testdata/bad", name), func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd != "write" {
					sent++
				}
				return b.send(t, d)
			})
			b.good(t)
		})
	}
	b.check(t)
	t.Logf("%d cases", sent)
	if !t.Failed() && sent < 100 {
		t.Errorf("%d cases, want at least 100", sent)
	}
}

// bad is a running server and its client.
type bad struct {
	client *sdk.Client
	url    string
	nats   *nats.Conn
	dir    string // where commands run
	base   string
	pushed int    // good rows
	letter uint64 // the last dead letter seen
}

func startBad(t *testing.T) *bad {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inbox := listener.Addr().String()
	_ = listener.Close()
	base, err := os.ReadFile("testdata/bad/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "url")
	background(t, nil, "lockstep", "dev", "--listen", "127.0.0.1:0", "--nats-listen", inbox, "--data", filepath.Join(dir, "data"), "--url-file", file, "--durability", "os")
	b := &bad{base: string(base), dir: filepath.Join(dir, "work")}
	if b.url, err = awaitFile(file); err != nil {
		t.Fatal(err)
	}
	if b.client, err = sdk.Open(b.url, sdk.Config{}); err != nil {
		t.Fatal(err)
	}
	if b.nats, err = nats.Connect("nats://" + inbox); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.nats.Close()
		if err := b.client.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.client.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{"base.yaml": b.base}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.good(t)
	return b
}

// send sends one case and returns the answer.
func (b *bad) send(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	input := filled(d.Input)
	var answer string
	switch d.Cmd {
	case "yaml":
		files := map[string]string{"base.yaml": b.base, "bad.yaml": input}
		if d.HasArg("alone") {
			delete(files, "base.yaml")
		}
		body, err := json.Marshal(api.RegistryRequest{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		answer = b.http(t, http.MethodPost, api.PathRegistryPlan, api.MediaJSON, body)
	case "http":
		media := api.MediaJSON
		d.MaybeScanArgs(t, "type", &media)
		answer = b.http(t, d.CmdArgs[0].Key, d.CmdArgs[1].String(), media, []byte(input))
	case "import":
		answer = b.importFile(t, d, input)
	case "inbox":
		answer = b.inbox(t, d.CmdArgs[0].Key, input)
	case "write":
		path := filepath.Join(b.dir, d.CmdArgs[0].Key)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(input), 0o600)); err != nil {
			t.Fatal(err)
		}
		return ""
	case "run":
		answer = b.run(t, input)
	default:
		d.Fatalf(t, "unknown directive %s", d.Cmd)
	}
	answer = moment.ReplaceAllString(answer, "${1}NOW")
	for _, leak := range leaks {
		for _, found := range leak.FindAllString(answer, -1) {
			if !strings.Contains(input, found) && !strings.Contains(d.Pos+fmt.Sprint(d.CmdArgs), found) {
				if found == "127.0.0.1:7600" { // the default, which examples name
					continue
				}
				t.Errorf("%s: the answer shows %q of the inside:\n%s", d.Pos, found, answer)
			}
		}
	}
	return answer
}

// leaks match what an answer must not show, unless it was sent.
var leaks = []*regexp.Regexp{
	regexp.MustCompile(`/(tmp|root|home|var|work|proc)/\S*`),                                 // paths
	regexp.MustCompile(`\.go:\d+|goroutine |panic|nil pointer|runtime error|0x[0-9a-f]{6,}`), // a crash
	regexp.MustCompile(`\b(127\.0\.0\.1|localhost):\d+`),                                     // addresses
	regexp.MustCompile(`\bEOF\b|interface \{|cannot unmarshal|map\[string\]`),                // words of Go
	regexp.MustCompile(`\b(feature|json|strconv|reflect|rowfile|gate|yaml|parquet|arrow|time|errors|nats|jetstream|clickhouse|proto|os|fs|io|http|url|csv|big|utf8|thrift)\.[A-Za-z]\w+`), // its names
	regexp.MustCompile(`\b(SELECT|INSERT INTO|FORMAT \w+|DB::\w+)|events_\w+|_seq\b|_gen\b|\bCode: \d+`),                                                                                  // SQL
}

// moment matches what depends on when the test runs.
var moment = regexp.MustCompile(`(arrival of the row at |lies before )[^\s,]+`)

var repeated = regexp.MustCompile(`@\{(\d+) x ([^}]*)\}`)

var inHex = regexp.MustCompile(`@\{([0-9a-f]{2}(?: [0-9a-f]{2})*)\}`)

// filled returns the input with what stands in braces put in.
func filled(input string) string {
	input = repeated.ReplaceAllStringFunc(input, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1]) // digits, by the pattern
		return strings.Repeat(m[2], n)
	})
	return inHex.ReplaceAllStringFunc(input, func(s string) string {
		var out []byte
		for h := range strings.FieldsSeq(strings.Trim(s, "@{}")) {
			n, _ := strconv.ParseUint(h, 16, 8) // hexadecimal, by the pattern
			out = append(out, byte(n))
		}
		return string(out)
	})
}

// http sends a request and returns the status with the error, or with what a success says.
func (b *bad) http(t *testing.T, method, path, media string, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 500 {
		t.Errorf("%s %s: %s\n%s", method, path, resp.Status, text)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var answer api.ErrorBody
	if json.Unmarshal([]byte(lines[len(lines)-1]), &answer) != nil || answer.Error == nil {
		return fmt.Sprintf("%d %s", resp.StatusCode, text)
	}
	return fmt.Sprintf("%d %s: %s", resp.StatusCode, answer.Error.Code, answer.Error.Error())
}

func (b *bad) importFile(t *testing.T, d *datadriven.TestData, input string) string {
	t.Helper()
	name, source, cut, flip := d.CmdArgs[0].Key, "events", 0, 0
	d.MaybeScanArgs(t, "source", &source)
	d.MaybeScanArgs(t, "cut", &cut)
	d.MaybeScanArgs(t, "flip", &flip)
	file := []byte(input)
	if format, err := rowfile.FormatOf(name); err == nil && format != rowfile.CSV && format != rowfile.JSONL {
		file = binaryFile(t, format, input)
	}
	if cut > 0 {
		file = file[:len(file)-cut]
	}
	if flip < 0 {
		flip += len(file)
	}
	if d.HasArg("flip") {
		file[flip] ^= 0xff
	}
	path := api.Fill(api.PathImport, source) + "?name=" + url.QueryEscape(name)
	return b.http(t, http.MethodPost, path, api.MediaOctets, file)
}

// binaryFile makes a file of CSV with name:type headings.
func binaryFile(t *testing.T, format rowfile.Format, text string) []byte {
	t.Helper()
	heading, rows, _ := strings.Cut(text, "\n")
	var fields []feature.Field
	types := map[string]feature.Type{}
	var names []string
	for column := range strings.SplitSeq(heading, ",") {
		name, kind, _ := strings.Cut(column, ":")
		typ, err := feature.ParseType(kind)
		if err != nil {
			t.Fatal(err)
		}
		fields, types[name], names = append(fields, feature.Field{Name: name, Type: typ}), typ, append(names, name)
	}
	path := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(path, []byte(strings.Join(names, ",")+"\n"+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := rowfile.Open(path, rowfile.CSV, types)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w, err := rowfile.NewWriter(&out, format, fields, nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		batch, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = w.Write(batch)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inbox publishes a message and returns the letters that come of it.
func (b *bad) inbox(t *testing.T, subject, message string) string {
	t.Helper()
	if _, err := b.nats.Request(subject, []byte(message), 10*time.Second); err != nil {
		return "NATS: " + err.Error()
	}
	var out strings.Builder
	await(t, "no dead letter of "+message[:min(len(message), 100)], func() bool {
		page, err := b.client.DeadLetters(t.Context(), api.DeadLetterQuery{After: b.letter})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Letters {
			fmt.Fprintf(&out, "%s: %s <- %q\n", l.Source, feature.Detail{Field: l.Field, Message: l.Reason}, shorten(l.Raw))
			b.letter = l.Seq
		}
		return len(page.Letters) > 0
	})
	return out.String()
}

// run runs a command and returns how it ended and what it said.
func (b *bad) run(t *testing.T, line string) string {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "lockstep", commands("lockstep " + line)[0]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Stdin = b.dir, &output, &output, strings.NewReader("")
	cmd.Env = append(os.Environ(), "LOCKSTEP_SERVER="+b.url)
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return fmt.Sprintf("exit %d\n%s", cmd.ProcessState.ExitCode(), output.String())
}

// good pushes and reads a row: the server is as well as before.
func (b *bad) good(t *testing.T) {
	t.Helper()
	b.pushed++ // from 1 on: 0 is the default of state.n, which is read before any row has come
	row := map[string]any{"thing": 1, "place": "a", "at": time.Now().UTC(), "x": float64(b.pushed), "n": b.pushed}
	if err := b.client.Push(t.Context(), "events", []any{row}); err != nil {
		t.Fatal(err)
	}
	await(t, "the good row is not read", func() bool {
		r, err := b.client.Online(t.Context(), sdk.OnlineRequest{Service: "model", Entities: map[string]any{"thing": []int{1}, "place": []string{"a"}}})
		return err == nil && r.Vectors[0].Value("state.n").Equal(feature.Int64Value(int64(b.pushed)))
	})
}

// check counts what all of it left behind: the good rows, on both paths.
func (b *bad) check(t *testing.T) {
	t.Helper()
	r, err := b.client.Verify(t.Context(), api.VerifyRequest{Service: "model"}, nil)
	if err != nil || r.Different > 0 {
		t.Errorf("Verify = %+v, %v; want no difference", r, err)
	}
	rows, err := b.client.SQL(t.Context(), "SELECT thing, n, _gen FROM events_events ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows.Rows) != b.pushed {
		for _, row := range rows.Rows {
			t.Log(row.Values())
		}
		t.Errorf("there are %d rows, want the %d good ones", len(rows.Rows), b.pushed)
	}
	definitions, err := b.client.Definitions(t.Context(), "")
	if err != nil || len(definitions) != 4 {
		t.Errorf("there are %d definitions, %v; want the 4 of base.yaml", len(definitions), err)
	}
}
