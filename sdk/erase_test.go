package sdk_test

import (
	"errors"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

func TestErase(t *testing.T) {
	c := open(t, &backend{}, sdk.Config{})
	r, err := c.Erase(t.Context(), api.EraseRequest{Entity: "airport", Keys: map[string]any{"airport": []string{"JFK", "LGA"}, "gate": []int64{1, 2}}}, nil)
	if err != nil || r.Seq != 5 || len(r.Sources) != 1 || r.Sources[0].Source != "airport" || r.Sources[0].Rows != 2 {
		t.Errorf("Erase = %+v, %v", r, err)
	}
	if _, err := c.Erase(t.Context(), api.EraseRequest{Entity: "planet", Keys: map[string]any{"planet": []string{"Mars"}}}, nil); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("Erase of an unknown entity = %v, want a CodeNotFound error", err)
	}
	if _, err := c.Erase(t.Context(), api.EraseRequest{Entity: "airport", Keys: map[string]any{"airport": []string{"JFK"}, "gate": []string{"east"}}}, nil); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("Erase of a key of another type = %v, want a CodeInvalid error", err)
	}
}
