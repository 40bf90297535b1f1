package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestPinnedVersions follows a model and its training sets through a change of a view, over the surfaces that a user has.
func TestPinnedVersions(t *testing.T) {
	_, client := begin(t)
	define(t, client, swapped(1), nil)
	push(t, client, 5)
	materialize(t, client)
	first, meta := trainedSet(t, client, "model", "")
	if meta["lockstep.service"] != "model@1" || meta["lockstep.views"] != "left@1,right@1" {
		t.Errorf("metadata %v, want model@1 of left@1 and right@1", meta)
	}
	cut := meta["lockstep.log"] + ":" + meta["lockstep.seq"]

	define(t, client, swapped(2), nil)
	push(t, client, 6)
	materialize(t, client)
	expect(t, client, sdk.OnlineRequest{Service: "model"}, "model@1 left@1 right@1 online", "left.own=1 left.a=1 left.count=6")
	expect(t, client, sdk.OnlineRequest{Features: []string{"left.own", "left.a"}}, " left@2 online", "left.own=2 left.a=2")
	expect(t, client, sdk.OnlineRequest{Features: []string{"left@1.own"}}, " left@1 online", "left.own=1")

	define(t, client, swapped(2), func(r *api.RegistryRequest) { r.Upgrade = []string{"model"} })
	materialize(t, client)
	expect(t, client, sdk.OnlineRequest{Service: "model"}, "model@2 left@2 right@2 online", "left.own=2 left.a=2")
	expect(t, client, sdk.OnlineRequest{Service: "model@1"}, "model@1 left@1 right@1 online", "left.own=1 left.a=1")
	expect(t, client, sdk.OnlineRequest{Service: "model@1", Path: feature.PathOffline}, "model@1 left@1 right@1 offline", "left.own=1 left.a=1")

	// G2: the version and the cut of a set make it again, byte for byte.
	if now, _ := trainedSet(t, client, "model@1", ""); bytes.Equal(now, first) {
		t.Error("a set of now is that of before the second push")
	}
	again, meta := trainedSet(t, client, "model@1", cut)
	if !bytes.Equal(again, first) || meta["lockstep.service"] != "model@1" {
		t.Errorf("made again at %s: %v\n%s\nwant\n%s", cut, meta, again, first)
	}
	for bad, code := range map[string]feature.Code{"another:1": feature.CodeInvalid, "99999": feature.CodeInvalid, "now": feature.CodeInvalid} {
		if _, err := client.TrainingFile(t.Context(), request("model", bad), &bytes.Buffer{}); feature.CodeOf(err) != code {
			t.Errorf("cut %s: %v, want %s", bad, err, code)
		}
	}

	// Back, and the version in between goes: what nothing pins is read from the history.
	if _, err := client.Rollback(t.Context(), "model"); err != nil {
		t.Fatal(err)
	}
	materialize(t, client)
	expect(t, client, sdk.OnlineRequest{Service: "model"}, "model@3 left@1 right@1 online", "left.own=1 left.a=1")
	define(t, client, swapped(3), func(r *api.RegistryRequest) { r.Delete = []string{"model@1", "model@2"} })
	materialize(t, client)
	expect(t, client, sdk.OnlineRequest{Features: []string{"left@2.own"}}, " left@2 offline", "left.own=2")
	if _, err := client.Online(t.Context(), sdk.OnlineRequest{Service: "model@2", Entities: map[string]any{"user": []string{"u"}}}); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("a deleted version: %v, want not found", err)
	}
}

// TestColumnsAreAdded adds columns to a source with events in the log and in ClickHouse: the old ones have NULL in them,
// also after a restart.
func TestColumnsAreAdded(t *testing.T) {
	dir := t.TempDir()
	_, client, stop := runNode(t, node.Config{Data: dir})
	define(t, client, swapped(1), nil)
	push(t, client, 1)
	wider := strings.Replace(swapped(1), "count: int64,", "count: int64, aa: string,", 1) +
		"---\nkind: view\nname: wide\nentity: user\nsource: clicks\nfeatures: [{name: aa, latest: aa}, {name: count, latest: count}]\n"
	define(t, client, wider, nil)
	materialize(t, client)
	expect(t, client, sdk.OnlineRequest{Features: []string{"wide.aa", "wide.count"}}, " wide@1 online", "wide.aa=NULL wide.count=1")
	rows := clicks(2)
	rows[0]["aa"], rows[0]["user"] = "x", "another"
	if err := client.Push(t.Context(), "clicks", rows); err != nil {
		t.Fatal(err)
	}
	stop()
	_, client, _ = runNode(t, node.Config{Data: dir})
	materialize(t, client)
	trainedSet(t, client, "model", "") // waits until the history has it too
	for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} {
		expect(t, client, sdk.OnlineRequest{Features: []string{"wide.aa", "wide.count"}, Path: path}, " wide@1 "+string(path), "wide.aa=NULL wide.count=1")
		resp, err := client.Online(t.Context(), sdk.OnlineRequest{Features: []string{"wide.aa"}, Path: path, Entities: map[string]any{"user": []string{"another"}}})
		if err != nil || resp.Vectors[0].Value("wide.aa").String() != `"x"` {
			t.Errorf("%s, of the new column: %v, %v; want x", path, resp, err)
		}
	}
	for what, change := range map[string][2]string{
		"a type":       {"count: int64", "count: string"},
		"a column":     {"aa: string, ", ""},
		"a tiebreak":   {"event_time: ts", "event_time: ts\ntiebreak: count"},
		"another time": {"event_time: ts", "event_time: other"},
	} {
		changed := strings.Replace(strings.Replace(wider, "ts: timestamp,", "ts: timestamp, other: timestamp,", 1), change[0], change[1], 1)
		r := api.RegistryRequest{Files: map[string]string{"a.yaml": changed}}
		if what == "a column" {
			r.Files["a.yaml"] = strings.Split(changed, "---\nkind: view\nname: wide")[0]
		}
		if _, err := client.Apply(t.Context(), r); !errors.Is(err, feature.ErrConflict) {
			t.Errorf("%s: %v, want conflict", what, err)
		}
	}
}

// expect reads the key u and compares what the meta says it was made from, and some values.
func expect(t *testing.T, client *sdk.Client, req sdk.OnlineRequest, made, values string) {
	t.Helper()
	req.Entities = map[string]any{"user": []string{"u"}}
	resp, err := client.Online(t.Context(), req)
	if err != nil {
		t.Errorf("read %s %v: %v", req.Service, req.Features, err)
		return
	}
	m := resp.Meta
	if got := fmt.Sprintf("%s %s %s", m.Service, strings.Join(m.Views, " "), m.Path); got != made {
		t.Errorf("read %s %v was made from %q, want %q; stale %q", req.Service, req.Features, got, made, m.Stale)
	}
	for want := range strings.FieldsSeq(values) {
		name, _, _ := strings.Cut(want, "=")
		if got := name + "=" + resp.Vectors[0].Value(name).String(); got != want {
			t.Errorf("read %s %v: %s, want %s", req.Service, req.Features, got, want)
		}
	}
	if !slices.Contains([]string{"online", "offline"}, string(m.Path)) {
		t.Errorf("path %q", m.Path)
	}
}

func request(service, cut string) sdk.TrainingRequest {
	return sdk.TrainingRequest{Service: service, Cut: cut, Format: "csv", Rows: []map[string]any{
		{"user": "u", "ts": "2026-01-02T00:00:00Z", "label": 1}, {"user": "nobody", "ts": "2026-01-02T00:00:00Z", "label": 0},
	}}
}

// trainedSet makes a training set and returns its bytes and metadata.
func trainedSet(t *testing.T, client *sdk.Client, service, cut string) ([]byte, map[string]string) {
	t.Helper()
	var out bytes.Buffer
	meta, err := client.TrainingFile(t.Context(), request(service, cut), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), meta
}

func materialize(t *testing.T, client *sdk.Client) {
	t.Helper()
	if _, err := client.Materialize(t.Context(), api.MaterializeRequest{}, nil); err != nil {
		t.Fatal(err)
	}
}
