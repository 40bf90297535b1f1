package node_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

const scoresYAML = paymentsYAML + `---
kind: ondemand
name: score
inputs: {amount: float64, tags: "list<string>"}
features:
  - {name: above, expr: "amount > last.amount", type: bool}
  - {name: tagged, expr: "len(tags)", type: int64}
  - {name: half, expr: "last.amount / 2", type: float64}
---
kind: service
name: scored
features: [last.id, score]
`

// TestOnDemand reads on-demand features on every surface: the API, Feast's protocol, training sets and a verification.
func TestOnDemand(t *testing.T) {
	n, client := begin(t)
	define(t, client, scoresYAML, nil)
	rows := []map[string]any{
		{"id": 1, "customer": 1, "at": "2026-01-01T00:00:00Z", "amount": 10}, {"id": 2, "customer": 2, "at": "2026-01-01T00:00:01Z", "amount": nil},
	}
	if err := client.Push(t.Context(), "payments", rows); err != nil {
		t.Fatal(err)
	}
	materialize(t, client)
	req := sdk.OnlineRequest{
		Service: "scored", Entities: map[string]any{"customer": []int64{1, 2, 3}},
		Request: map[string]any{"amount": []any{10.5, 3, nil}, "tags": [][]string{{"a"}, {}, nil}},
	}
	for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} {
		req.Path = path
		if path == feature.PathOffline {
			scoredSet(t, client, "csv") // waits until the history has what was pushed
		}
		resp, err := client.Online(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range resp.Vectors {
			for _, c := range v.Cells()[1:] {
				got = append(got, c.Value.String()+" "+c.Status.String())
			}
		}
		want := "true present, 1 present, 5 present, NULL null, 0 present, NULL null, NULL null, NULL null, NULL null"
		if strings.Join(got, ", ") != want || strings.Join(resp.Names, " ") != "last.id score.above score.tagged score.half" {
			t.Errorf("%s: %s = %s, want %s", path, resp.Names, strings.Join(got, ", "), want)
		}
	}

	for what, c := range map[string]struct {
		request map[string]any
		want    string
	}{
		"no input":           {map[string]any{"amount": []int{1, 1, 1}}, "tags: the request does not bring this input"},
		"too few values":     {map[string]any{"amount": []int{1}, "tags": [][]string{nil, nil, nil}}, "row 1: amount: the request does not bring this input for every key"},
		"too many values":    {map[string]any{"amount": []int{1, 2, 3, 4}, "tags": [][]string{nil, nil, nil}}, "row 3: amount: the request brings"},
		"another type":       {map[string]any{"amount": []string{"1", "x", "2"}, "tags": [][]string{nil, nil, nil}}, "row 1: amount: cannot take"},
		"a name that is not": {map[string]any{"amount": []int{1, 1, 1}, "tags": [][]string{nil, nil, nil}, "x": []int{1, 2, 3}}, "x: unknown input: expected amount, tags"},
	} {
		req.Request = c.request
		if _, err := client.Online(t.Context(), req); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}

	for format, want := range map[string]string{
		"csv":   "amount,customer,tags,ts,last.id,score.above,score.tagged,score.half\n10.5,1,\"[\"\"a\"\"]\",2026-01-02T00:00:00Z,1,true,1,5\n3,2,[],2026-01-02T00:00:00Z,2,,0,\n",
		"jsonl": `"score.above":true,"score.tagged":1,"score.half":5}`,
	} {
		if got, meta := scoredSet(t, client, format); !strings.Contains(got, want) || meta["lockstep.ondemand"] != "score@1" || meta["lockstep.views"] != "last@1" {
			t.Errorf("training set in %s: %s\nof %v; want %s", format, got, meta, want)
		}
	}
	var out bytes.Buffer
	_, err := client.TrainingFile(t.Context(), sdk.TrainingRequest{Service: "scored", Format: "csv", Rows: []map[string]any{{"customer": 1, "ts": "2026-01-02T00:00:00Z", "tags": 5}}}, &out)
	if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "tags") {
		t.Errorf("a spine without an input, another of another type: %v, want both named", err)
	}

	feastReads(t, n.URL())
	verifies(t, client)
	upgrades(t, client)
}

// scoredSet makes a training set of two rows.
func scoredSet(t *testing.T, client *sdk.Client, format string) (string, map[string]string) {
	t.Helper()
	var out bytes.Buffer
	meta, err := client.TrainingFile(t.Context(), sdk.TrainingRequest{Service: "scored", Format: format, Rows: []map[string]any{
		{"customer": 1, "ts": "2026-01-02T00:00:00Z", "amount": 10.5, "tags": []string{"a"}}, {"customer": 2, "ts": "2026-01-02T00:00:00Z", "amount": 3, "tags": []string{}},
	}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), meta
}

// feastReads reads as Feast's clients do, who send inputs among the keys.
func feastReads(t *testing.T, url string) {
	t.Helper()
	for body, want := range map[string]string{
		`{"feature_service":"scored","entities":{"customer":[1],"amount":[9],"tags":[["x","y"]]},"full_feature_names":true}`: `{"values":[false],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[2]`,
		`{"feature_service":"scored","entities":{"customer":[1],"amount":[9]}}`:                                              "tags",
		`{"features":["score:half"],"entities":{"customer":[1]}}`:                                                            `{"values":[5.0],"statuses":["PRESENT"]`,
	} {
		resp, err := http.Post(url+api.PathFeastOnline, api.MediaJSON, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if status := map[bool]int{true: 400, false: 200}[want == "tags"]; resp.StatusCode != status || !strings.Contains(string(got), want) {
			t.Errorf("%s: %d %s, want %d and %s", body, resp.StatusCode, got, status, want)
		}
	}
}

func verifies(t *testing.T, client *sdk.Client) {
	t.Helper()
	r, err := client.Verify(t.Context(), api.VerifyRequest{Service: "scored", At: []string{"2026-01-01T00:00:02Z"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Two keys; last.id, last.amount, which is not listed, and three on-demand features. Of one key amount, above and half are NULL.
	if r.Compared != 10 || r.Different != 0 || r.Informative != 6 || r.Problem != "" {
		t.Errorf("verify = %+v, want 10 values, 6 of them informative, no difference", r)
	}
}

// upgrades changes an on-demand definition: services stay until they are told (G1), and what is needed cannot be deleted.
func upgrades(t *testing.T, client *sdk.Client) {
	t.Helper()
	changed := strings.Replace(scoresYAML, "last.amount / 2", "last.amount / 4", 1)
	half := func(service string) string {
		t.Helper()
		resp, err := client.Online(t.Context(), sdk.OnlineRequest{
			Service: service, Entities: map[string]any{"customer": []int64{1}}, Request: map[string]any{"amount": []int{1}, "tags": [][]string{{}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Meta.Service + " " + strings.Join(resp.Meta.OnDemand, " ") + " " + resp.Vectors[0].Value("score.half").String()
	}
	define(t, client, changed, nil)
	if got := half("scored"); got != "scored@1 score@1 5" {
		t.Errorf("after a change: %s, want scored@1 score@1 5", got)
	}
	define(t, client, changed, func(r *api.RegistryRequest) { r.Upgrade = []string{"scored"} })
	materialize(t, client)
	for service, want := range map[string]string{"scored": "scored@2 score@2 2.5", "scored@1": "scored@1 score@1 5"} {
		if got := half(service); got != want {
			t.Errorf("after the upgrade: %s, want %s", got, want)
		}
	}
	only, _, _ := strings.Cut(scoresYAML, "---\nkind: ondemand")
	_, err := client.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{"a.yaml": only}, Delete: []string{"score"}})
	if !errors.Is(err, feature.ErrConflict) || !strings.Contains(err.Error(), "ondemand score cannot be deleted while it is used by service scored@1, service scored@2") {
		t.Errorf("deleted while in use: %v", err)
	}
	define(t, client, only, func(r *api.RegistryRequest) { r.Delete = []string{"scored", "score"} })
}
