package server_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Describe knows the view departures.
func (p *parts) Describe(name string) ([]api.Definition, error) {
	if name != "" && name != "departures" {
		return nil, feature.Errorf(feature.CodeNotFound, "unknown name %q: expected departures", name)
	}
	body := json.RawMessage(`{"kind":"view"}`)
	return []api.Definition{{Kind: "view", Name: "departures", Version: 2, Definition: body, Versions: []api.DefinitionVersion{
		{Version: 2, Since: time.Unix(1e9, 0).UTC(), Live: true, Definition: body},
	}}}, nil
}

func TestDefinitions(t *testing.T) {
	s := start(t, (&parts{}).config())
	want := `{"definitions":[{"kind":"view","name":"departures","version":2,"definition":{"kind":"view"},` +
		`"versions":[{"version":2,"since":"2001-09-09T01:46:40Z","live":true,"definition":{"kind":"view"}}]}]}` + "\n"
	for _, path := range []string{api.PathRegistry, api.PathRegistry + "?name=departures"} {
		if got := s.want(200, request{method: get, path: path}); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	s.want(404, request{method: get, path: api.PathRegistry + "?name=x"})
	s.want(400, request{method: get, path: api.PathRegistry + "?nam=x"})
}
