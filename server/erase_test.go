package server_test

import (
	"fmt"
	"testing"

	"github.com/lockstepfs/lockstep/api"
)

// TestErase: keys arrive with their types, in the order of the entity's parts.
func TestErase(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	s.want(200, request{path: api.PathErase, body: `{"keys":{"day":["2001-06-25","2001-06-26T00:00:00.5Z"],"flight":["7",8],"window":[true,"false"]},"entity":"seat","dry_run":true}`})
	if len(p.erased) != 1 || !p.erased[0].DryRun || p.erased[0].Entity.Name != "seat" {
		t.Fatalf("erased %+v, want a dry run on seats", p.erased)
	}
	if got, want := fmt.Sprint(p.erased[0].Keys), "[(7, true, 2001-06-25T00:00:00Z) (8, false, 2001-06-26T00:00:00.5Z)]"; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
}
