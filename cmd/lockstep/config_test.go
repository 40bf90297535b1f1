package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/lockstepfs/lockstep/internal/node"
)

const (
	tableBegin = "<!-- settings: this table is made by the tests of cmd/lockstep -->\n"
	tableEnd   = "<!-- end -->\n"
)

// TestSettingsAreDocumented: the table in the documentation is the one that the code makes.
func TestSettingsAreDocumented(t *testing.T) {
	const file = "../../docs/configuration.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the table", file)
	}
	var table strings.Builder
	table.WriteString("\n| setting | flag of | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, s := range settings() {
		if s.doc == "" {
			t.Errorf("setting %s has no documentation", s.key)
		}
		kinds := map[string]string{"all": "all commands", "serving": "`dev`, `serve`", "serve": "`serve`", "": "–"}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", s.key, kinds[s.flag], defaultText(s.def), s.doc)
	}
	table.WriteString("\n")
	want := before + tableBegin + table.String() + tableEnd + after
	if flag.Lookup("rewrite").Value.String() == "true" { // the flag of datadriven's tests is for this one too
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Errorf("%s is not what the settings are: run go test ./cmd/lockstep -run TestSettingsAreDocumented -rewrite", file)
	}
}

func defaultText(def any) string {
	text := fmt.Sprint(def)
	switch d := def.(type) {
	case time.Duration:
		text = strings.Replace(strings.Replace(text, "m0s", "m", 1), "h0m", "h", 1)
	case []string:
		text = strings.Join(d, ",")
	}
	if v := reflect.ValueOf(def); !v.IsValid() || v.IsZero() {
		return ""
	}
	return "`" + text + "`"
}

// load runs loadConfig with a file, variables and the flags of serve.
func load(t *testing.T, yaml string, env map[string]string, args ...string) (*config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lockstep.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range env {
		t.Setenv(k, v)
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	for _, kind := range []string{"all", "serving", "serve"} {
		addFlags(flags, kind)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(path, flags)
}

func TestConfigOrder(t *testing.T) {
	cfg, err := load(t, `
listen: 10.0.0.1:1
nats: nats://file:4222
database: file
tls: {cert: a.crt, key: a.key, client_ca: ca.crt}
limits: {body_bytes: 1000, drain_delay: 0s, read: {time: 5s}, train: {concurrency: 2}}
`, map[string]string{"LOCKSTEP_NATS": "nats://env:4222", "LOCKSTEP_DATABASE": "env", "LOCKSTEP_LIMITS_READ_CONCURRENCY": "7", "LOCKSTEP_ROLES": "serve,sink", "LOCKSTEP_ALLOW_SQL": "true", "LOCKSTEP_FLIGHTS": "x"},
		"--database", "flag", "--tls-key", "b.key")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Listen, want.NATS, want.Database, want.AllowSQL = "10.0.0.1:1", "nats://env:4222", "flag", true
	want.Roles = []string{"serve", "sink"}
	want.TLS = node.TLS{Cert: "a.crt", Key: "b.key", ClientCA: "ca.crt"}
	want.Limits.BodyBytes, want.Limits.DrainDelay = 1000, 0
	want.Limits.Read = node.Limits{}.Read
	want.Limits.Read.Concurrency, want.Limits.Read.Time = 7, 5*time.Second
	want.Limits.Train.Concurrency, want.level = 2, slog.LevelWarn
	if !reflect.DeepEqual(*cfg, want) {
		t.Errorf("got  %+v\nwant %+v", *cfg, want)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tc := range []struct{ yaml, want string }{
		{"lisen: x", `unknown setting "lisen"`},
		{"limits: {reed: {time: 5s}}", `unknown setting "limits.reed.time"`},
		{"limits: {read: {time: soon}}", "setting limits.read.time: expected a time, such as 30s, got"},
		{"limits: {rows: many}", `setting limits.rows: expected a number, got "many"`},
		{"limits: {stall_time: -1s}", "setting limits.stall_time"},
		{"limits: {rows: 0}", "setting limits.rows"},
		{"tls: here", `unknown setting "tls"`},
		{"a: [", "read the configuration"},
	} {
		_, err := load(t, tc.yaml, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.yaml, err, tc.want)
		}
	}
}

func TestTokensSetting(t *testing.T) {
	want := []node.Token{{Name: "ci", SHA256: "ab", Scopes: []string{"read", "write"}}, {SHA256: "cd", Scopes: []string{"admin"}}}
	cfg, err := load(t, "tokens:\n  - {name: ci, sha256: ab, scopes: [read, write]}\n  - {sha256: cd, scopes: [admin]}\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []any{cfg.Tokens, "ci=ab:read+write, cd:admin"} {
		got, err := parseTokens(setting)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parseTokens(%v) = %v, %v", setting, got, err)
		}
	}
	for _, bad := range []any{"abc", []any{map[string]any{"hash": "x"}}, 5} {
		if got, err := parseTokens(bad); err == nil {
			t.Errorf("parseTokens(%v) = %v", bad, got)
		}
	}
	if got, err := parseTokens(""); got != nil || err != nil {
		t.Errorf("no tokens: %v, %v", got, err)
	}
}

// TestToken: what the command prints for the configuration knows the token that it prints.
func TestToken(t *testing.T) {
	var out, errOut strings.Builder
	if code := run(t.Context(), []string{"token", "--name", "ci", "--scopes", "read,admin"}, nil, &out, &errOut); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut.String())
	}
	token, yaml, _ := strings.Cut(out.String(), "\n")
	yaml = yaml[strings.Index(yaml, "tokens:"):strings.Index(yaml, "\n\nor")]
	cfg, err := load(t, yaml, nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := parseTokens(cfg.Tokens)
	if err != nil || len(tokens) != 1 || tokens[0].Name != "ci" || tokens[0].SHA256 != sha(token) {
		t.Errorf("%s: tokens %+v, %v", out.String(), tokens, err)
	}
	if code := run(t.Context(), []string{"token", "--scopes", "root"}, nil, &out, &errOut); code != 1 {
		t.Errorf("an unknown scope: exit %d", code)
	}
}
