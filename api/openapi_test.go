package api_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lockstepfs/lockstep/api"
)

type operation struct {
	OperationID string `json:"operationId"`
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody struct{ Content map[string]json.RawMessage }
	Responses   map[string]struct {
		Description string
		Content     map[string]json.RawMessage
	}
}

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]json.RawMessage }
}

// TestOpenAPI checks what OpenAPI 3.1 demands: unique operation ids, path parameters that are declared,
// descriptions of answers, references that lead somewhere, and schemas that are valid JSON Schema.
func TestOpenAPI(t *testing.T) {
	text := api.OpenAPI("v1")
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	ids, operations := map[string]bool{}, 0
	for path, item := range doc.Paths {
		for method, op := range item {
			operations++
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operation id %q is empty or used twice", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			checkParameters(t, path, op)
			if op.Responses["200"].Description == "" || op.Responses["default"].Content[api.MediaJSON] == nil {
				t.Errorf("%s %s does not describe its answers", method, path)
			}
		}
	}
	if want := len(api.Routes()); operations != want {
		t.Errorf("%d operations for %d routes", operations, want)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	for name := range doc.Components.Schemas {
		if _, err := c.Compile("mem:///openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	for part := range strings.SplitSeq(string(text), `"$ref":"#/components/schemas/`) {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := doc.Components.Schemas[name]; !ok && !strings.HasPrefix(part, "{") {
			t.Errorf("a reference to %s leads nowhere", name)
		}
	}
}

func checkParameters(t *testing.T, path string, op operation) {
	t.Helper()
	declared := 0
	for _, p := range op.Parameters {
		if p.In != "path" {
			continue
		}
		declared++
		if !p.Required || !strings.Contains(path, "{"+p.Name+"}") {
			t.Errorf("%s declares the path parameter %s", path, p.Name)
		}
	}
	if declared != strings.Count(path, "{") {
		t.Errorf("%s declares %d path parameters", path, declared)
	}
}

func TestFill(t *testing.T) {
	for _, tc := range []struct{ path, name, want string }{
		{api.PathView, "departures@2", "/v1/views/departures@2"},
		{api.PathServiceVersions, "a b/c?d", "/v1/services/a%20b%2Fc%3Fd/versions"},
		{api.PathStatus, "x", "/v1/status"},
	} {
		if got := api.Fill(tc.path, tc.name); got != tc.want {
			t.Errorf("Fill(%q, %q) = %q, want %q", tc.path, tc.name, got, tc.want)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, f := range api.Formats() {
		if got := api.FormatOf(api.MediaOf(f)); got != f {
			t.Errorf("FormatOf(MediaOf(%q)) = %q", f, got)
		}
	}
	if api.MediaOf("xls") != "" || api.FormatOf("image/png") != "" {
		t.Error("an unknown format or media type is known")
	}
}

// TestClasses: only what says nothing about data is without limits, and metrics.
func TestClasses(t *testing.T) {
	for _, r := range api.Routes() {
		open := r.Class == api.ClassOpen
		if want := r.Scope == api.ScopeNone || r.Path == api.PathMetrics; open != want {
			t.Errorf("%s %s has the class %q, and the scope %q", r.Method, r.Path, r.Class, r.Scope)
		}
	}
}
