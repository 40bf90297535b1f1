package registry_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/registry"
)

// TestDocs says that what docs/definitions.md shows is right.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/definitions.md")
	if err != nil {
		t.Fatal(err)
	}
	schema := compileSchema(t)
	var docs []string
	for i, part := range strings.Split(string(page), "```") {
		if yaml, ok := strings.CutPrefix(part, "yaml\n"); ok && i%2 == 1 {
			docs = append(docs, strings.Split(yaml, "---\n")...)
		}
	}
	if len(docs) < 5 {
		t.Fatalf("docs/definitions.md shows %d definitions, want at least 5", len(docs))
	}
	for _, doc := range docs {
		if err := schema.Validate(document(t, doc)); err != nil {
			t.Errorf("%v in\n%s", err, doc)
		}
	}
	defs := parse(t, strings.Join(docs, "\n---\n"))
	cat, err := registry.Resolve(defs)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := cat.PlanService("delay_model")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(plan.Names, " "), "departures.last_delay departures.last_destination dest.last_delay"; got != want {
		t.Errorf("delay_model gives %s, but the page says %s", got, want)
	}
}
