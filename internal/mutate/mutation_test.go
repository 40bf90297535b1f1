package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every mutation of the list matches the code as it is now, once.
func TestListMatches(t *testing.T) {
	text, err := os.ReadFile("../../testdata/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Errorf("%d mutations, want at least 20", len(list))
	}
	for _, m := range list {
		src, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(m.File)))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if _, err := m.Apply(string(src)); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("# a comment\n\nname a\nfile f.go\nrun TestX\n- x < y\n+ x <= y\n\n\nname b\nfile g.go\n- gone\n+\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Mutation{{"a", "f.go", "TestX", "x < y", "x <= y"}, {"b", "g.go", "", "gone", ""}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("Parse = %+v, want %+v", got, want)
	}
	for _, bad := range []string{"name a\nfile f\n- x\n+ x", "name a\n- x\n+ y", "nonsense", "name a\nfile f\n- x\n+ y\n\nname a\nfile f\n- z\n+ y"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) succeeded", bad)
		}
	}
}

func TestApplyWantsOneMatch(t *testing.T) {
	m := Mutation{Name: "a", File: "f.go", Old: "x", New: "y"}
	if got, err := m.Apply("a x b"); err != nil || got != "a y b" {
		t.Errorf("Apply = %q, %v", got, err)
	}
	for _, text := range []string{"a b", "x x"} {
		if _, err := m.Apply(text); err == nil || !strings.Contains(err.Error(), "mend the list") {
			t.Errorf("Apply(%q) = %v, want an error", text, err)
		}
	}
}

func TestFirstFailure(t *testing.T) {
	out := "=== RUN\n--- FAIL: TestOnline (0.1s)\n    --- FAIL: TestOnline/online (0.1s)\n        --- FAIL: TestOnline/online/latest (0.1s)\n--- FAIL: TestZ (0s)\n"
	if got := firstFailure(out); got != "TestOnline/online/latest" {
		t.Errorf("firstFailure = %s", got)
	}
}
