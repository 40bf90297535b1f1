package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lockstepfs/lockstep"

// allowed maps each package to the packages of this module that it may import. docs/adr says why each line
// that differs from docs/architecture.md is as it is.
var allowed = map[string][]string{
	"feature":            {},
	"api":                {"feature"},
	"internal/asof":      {"feature"},
	"internal/agg":       {"feature"},
	"internal/expr":      {"feature"},
	"internal/derive":    {"feature"},
	"internal/audit":     {"api"},
	"internal/wire":      {"feature", "internal/asof"},
	"internal/breaker":   {"feature"},
	"internal/eventlog":  {"feature", "internal/breaker", "internal/wire"},
	"internal/rowjson":   {"feature"},
	"internal/identity":  {"feature", "internal/wire", "internal/eventlog"},
	"internal/gate":      {"feature", "internal/eventlog", "internal/identity", "internal/rowjson"},
	"internal/rowfile":   {"feature", "internal/rowjson"},
	"internal/chdb":      {},
	"internal/schedule":  {"feature"},
	"internal/board":     {"feature"},
	"registry":           {"feature", "internal/agg", "internal/expr", "internal/schedule"},
	"offline":            {"feature", "internal/agg", "internal/breaker", "internal/asof", "internal/expr", "internal/wire", "migrations"},
	"online":             {"feature", "internal/agg", "internal/asof", "internal/expr", "internal/wire"},
	"materialize":        {"feature", "internal/asof", "internal/wire", "internal/eventlog", "internal/gate", "internal/rowfile", "internal/schedule"},
	"internal/verify":    {"feature", "internal/agg", "internal/asof", "internal/derive"},
	"server":             {"feature", "api", "internal/rowjson"},
	"sdk":                {"feature", "api"},
	"migrations":         {},
	"internal/oracle":    {"feature"},
	"internal/semtest":   {"feature", "internal/expr", "registry"},
	"internal/chtest":    {"internal/chdb"},
	"internal/mutate":    {},
	"internal/killtest":  {},
	"internal/faulttest": {},
	"internal/arch":      {},
	"internal/node": {
		"feature", "api", "internal/asof", "internal/audit", "internal/board", "internal/chdb", "internal/derive", "internal/eventlog", "internal/gate", "internal/identity", "internal/rowfile", "internal/schedule", "internal/verify",
		"registry", "offline", "online", "materialize", "server", "migrations",
	},
	"bench": {
		"feature", "api", "internal/chdb", "internal/eventlog", "internal/node", "internal/rowfile", "materialize", "offline", "online", "registry", "sdk",
	},
	"examples/flights/prepare": {"feature", "internal/rowfile"},
	"cmd/lockstep":             {"feature", "api", "internal/chdb", "internal/eventlog", "internal/node", "internal/rowfile", "registry", "sdk"},
}

// inTests lists what the tests of any package may import besides; sdk is tested against a real server, and
// internal/semtest's tests drive everything.
var inTests = []string{"server", "internal/chtest", "internal/oracle", "internal/semtest", "internal/chdb", "internal/rowfile", "registry"}

// everything lists the packages whose tests may import any package: they compare executions.
var everything = []string{"internal/board", "internal/semtest", "internal/node", "cmd/lockstep", "materialize", "internal/verify", "internal/killtest", "internal/faulttest"}

// stdOnly lists the packages that import nothing third-party.
var stdOnly = []string{"feature", "api", "internal/asof", "internal/oracle", "sdk"}

const maxFileLines = 500

// The files are parsed here, not listed by a go command: a test that runs a command is served from the cache
// even when the sources have changed.
func TestShape(t *testing.T) {
	documented := map[string]bool{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 1 && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		isTest := strings.HasSuffix(file, "_test.go")
		documented[path.Dir(file)] = documented[path.Dir(file)] || f.Doc != nil && !isTest
		if n := bytes.Count(src, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines; the limit is %d", file, n, maxFileLines)
		}
		checkImports(t, file, f.Imports)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if has, exists := documented[pkg]; !exists {
			t.Errorf("%s is in the table but not in the module", pkg)
		} else if !has {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

func checkImports(t *testing.T, file string, imports []*ast.ImportSpec) {
	from, isTest := path.Dir(file), strings.HasSuffix(file, "_test.go")
	may, ok := allowed[from]
	if !ok {
		t.Errorf("%s: %s is not in the table of allowed imports", file, from)
	}
	for _, spec := range imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		to, ours := strings.CutPrefix(imp, module+"/")
		host, _, _ := strings.Cut(imp, "/")
		switch {
		case !ours && strings.Contains(host, ".") && !isTest && slices.Contains(stdOnly, from):
			t.Errorf("%s: %s must not import %s", file, from, imp)
		case !ours, slices.Contains(may, to):
		case isTest && (to == from || slices.Contains(inTests, to) || slices.Contains(everything, from)):
		default:
			t.Errorf("%s: %s must not import %s", file, from, to)
		}
	}
}
