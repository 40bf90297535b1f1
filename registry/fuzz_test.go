package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// FuzzParse says that Parse never panics, that each error has a place in the file, and that what it accepts
// resolves and survives its own normal form.
func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	for _, pattern := range []string{"testdata/good/*", "testdata/bad/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for part := range bytes.SplitSeq(data, []byte("\n\n")) {
				f.Add(bytes.TrimPrefix(part, []byte("parse\n")))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defs, err := registry.Parse(map[string][]byte{"a.yaml": data})
		if err != nil {
			checkPlaces(t, err, bytes.Count(data, []byte("\n"))+bytes.Count(data, []byte("\r"))+1)
			return
		}
		if _, err := registry.Resolve(defs); err != nil {
			t.Fatalf("Resolve = %v after Parse accepted it", err)
		}
		var yaml bytes.Buffer
		first := normalForm(t, defs, &yaml)
		again, err := registry.Parse(map[string][]byte{"a.yaml": yaml.Bytes()})
		if err != nil {
			t.Fatalf("the normal form is refused: %v\n%s", err, yaml.Bytes())
		}
		if second := normalForm(t, again, &bytes.Buffer{}); first != second {
			t.Fatalf("the normal form changes:\n%s\n%s", first, second)
		}
	})
}

func checkPlaces(t *testing.T, err error, lines int) {
	t.Helper()
	wrong, ok := errors.AsType[*feature.Error](err)
	if !ok || wrong.Code != feature.CodeInvalid || len(wrong.Details) == 0 {
		t.Fatalf("Parse = %v, want a *feature.Error of CodeInvalid with details", err)
	}
	for _, d := range wrong.Details {
		if d.File != "a.yaml" || d.Line < 1 || d.Line > lines+1 || d.Column < 1 || d.Message == "" {
			t.Fatalf("place %s:%d:%d of %q in a file of %d lines", d.File, d.Line, d.Column, d.Message, lines)
		}
	}
}

func normalForm(t *testing.T, defs *registry.Definitions, yaml *bytes.Buffer) string {
	t.Helper()
	var all []any
	for _, x := range defs.Entities {
		all = append(all, x)
	}
	for _, x := range defs.Sources {
		all = append(all, x)
	}
	for _, x := range defs.Views {
		all = append(all, x)
	}
	for _, x := range defs.Services {
		all = append(all, x)
	}
	for _, x := range all {
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		yaml.WriteString("\n---\n")
		yaml.Write(raw)
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
