package registry_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lockstepfs/lockstep/registry"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(registry.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document reads one YAML document as a validator of JSON Schema sees it.
func document(t *testing.T, text string) any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return doc
}

func TestSchemaAcceptsGood(t *testing.T) {
	schema := compileSchema(t)
	files, err := filepath.Glob("testdata/good/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/good: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.SplitSeq(strings.TrimSuffix("\n"+string(data), "...\n"), "\n---") {
			doc := document(t, text)
			if doc == nil {
				continue
			}
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: %v\n%s", f, err, text)
			}
		}
	}
	defs, err := registry.ParseDir("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range defs.Views {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document(t, string(raw))); err != nil {
			t.Errorf("normal form of view %s: %v", v.Name, err)
		}
	}
}

func TestSchemaRefusesBad(t *testing.T) {
	schema := compileSchema(t)
	for _, text := range []string{
		`{name: a, key: [{name: a, type: string}]}`,
		`{kind: entiti, name: a, key: [{name: a, type: string}]}`,
		`{kind: ondemand, name: a}`,
		`{kind: entity, name: a}`,
		`{kind: entity, name: A, key: [{name: a, type: string}]}`,
		`{kind: entity, name: a, key: []}`,
		`{kind: entity, name: a, key: [{name: a, type: float64}]}`,
		`{kind: entity, name: a, key: [{name: _a, type: string}]}`,
		`{kind: entity, name: a, key: [{name: a, type: string}], project: x}`,
		`{kind: entity, name: a, key: [{name: a, type: string}], tags: {a: 1}}`,
		`{kind: source, name: s, columns: {t: timestamp}}`,
		`{kind: source, name: s, columns: {}, event_time: t}`,
		`{kind: source, name: s, columns: {t: date}, event_time: t}`,
		`{kind: source, name: s, columns: {_t: timestamp}, event_time: t}`,
		`{kind: source, name: s, columns: {t: "vector<0>"}, event_time: t}`,
		`{kind: source, name: s, columns: {t: timestamp, a: {expr: "t"}}, event_time: t}`,
		`{kind: source, name: s, columns: {t: timestamp, a: {expr: "t", type: timestamp, default: 3}}, event_time: t}`,
		`{kind: source, name: s, columns: {t: timestamp}, event_time: t, max_future: 5}`,
		`{kind: source, name: s, columns: {t: timestamp}, event_time: t, id: []}`,
		`{kind: source, name: s, columns: {t: timestamp}, event_time: t, dedup: 7d}`,
		`{kind: view, name: v, entity: e, source: s}`,
		`{kind: view, name: v, entity: e, source: s, features: []}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, latest: b, ttl: 0}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, latest: b, ttl: -1d}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, latest: b, default: null}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, count: "*"}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, count: "*", window: []}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, count: "*", sum: x, window: 3h}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, latest: x, window: 3h}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, sum: "*", window: 3h}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, top_k: x, window: 3h}]}`,
		`{kind: view, name: v, entity: e, source: s, features: [{name: a, sum: x, window: 3h, ttl: 1d}]}`,
		`{kind: view, name: v, entity: e, source: s, history: soon, features: [{name: a, latest: b}]}`,
		`{kind: ondemand, name: d, features: []}`,
		`{kind: ondemand, name: d, features: [{name: a, expr: "v.b"}]}`,
		`{kind: ondemand, name: d, features: [{name: a, type: int64}]}`,
		`{kind: ondemand, name: d, features: [{name: a, expr: 5, type: int64}]}`,
		`{kind: ondemand, name: d, inputs: {}, features: [{name: a, expr: "v.b", type: int64}]}`,
		`{kind: ondemand, name: d, features: [{name: a, expr: "v.b", type: int64, default: 3}]}`,
		`{kind: service, name: s, features: [{view: v, ondemand: d}]}`,
		`{kind: service, name: s, features: [{ondemand: d, as: x}]}`,
		`{kind: service, name: s, features: []}`,
		`{kind: service, name: s, features: [a.b.c]}`,
		`{kind: service, name: s, features: [{as: x}]}`,
		`{kind: service, name: s, features: [{view: x, feature: y}]}`,
	} {
		if err := schema.Validate(document(t, text)); err == nil {
			t.Errorf("the schema accepts %s", text)
		}
		if _, err := registry.Parse(map[string][]byte{"a.yaml": []byte(text)}); err == nil {
			t.Errorf("Parse accepts %s", text)
		}
	}
}
