package server_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lockstepfs/lockstep/api"
)

// schemaOf returns the schema of a route's answer with status 200.
func schemaOf(t *testing.T, doc []byte, method, path, media string) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	at := "mem:///openapi.json#/paths/" + escape.Replace(path) + "/" + strings.ToLower(method)
	if media == "error" {
		at += "/responses/default/content/" + escape.Replace(api.MediaJSON) + "/schema"
	} else {
		at += "/responses/200/content/" + escape.Replace(media) + "/schema"
	}
	s, err := c.Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAnswersMatchOpenAPI holds real answers against the document that the server itself serves, and calls
// every route of it: each has a handler and answers what it says.
func TestAnswersMatchOpenAPI(t *testing.T) {
	p := &parts{cells: airports(t)}
	cfg := p.config()
	cfg.Auditor = &trail{}
	s := start(t, cfg)
	doc := []byte(s.want(200, request{method: get, path: api.PathOpenAPI}))
	calls := map[string]request{
		api.PathOnline:          {path: online, body: `{"service":"delay_model","entities":{"airport":["JFK","LAX"],"destination":["SFO",null]}}`},
		api.PathExplain:         {path: api.PathExplain, body: `{"features":["departures.load"],"entities":{"airport":["JFK"]}}`},
		api.PathHistorical:      {path: train, body: trainBody},
		api.PathEvents:          {path: events + "?partial=true", body: `[{},5]`},
		api.PathImport:          {path: imports + "?format=csv", body: "x", header: media(api.MediaOctets)},
		api.PathEntity:          {path: "/v1/entities/seat"},
		api.PathSource:          {path: "/v1/sources/flights"},
		api.PathView:            {path: "/v1/views/departures@1"},
		api.PathService:         {path: "/v1/services/delay_model"},
		api.PathServiceVersions: {path: "/v1/services/delay_model/versions"},
		api.PathRegistryPlan:    {path: api.PathRegistryPlan, body: `{"files":{"a.yaml":"x"},"upgrade":["a"],"delete":[]}`},
		api.PathRegistryApply:   {path: api.PathRegistryApply, body: `{"files":{}}`},
		api.PathRollback:        {path: api.PathRollback, body: `{"service":"delay_model@1"}`},
		api.PathDeadLetter:      {path: "/v1/deadletters/4"},
		api.PathErase:           {path: api.PathErase, body: `{"entity":"airport","keys":{"airport":["JFK"]},"dry_run":true}`},
		api.PathReplay:          {path: api.PathReplay, body: `{"letters":[4],"dry_run":true}`},
		api.PathMaterialize:     {path: api.PathMaterialize, body: `{}`},
		api.PathVerify:          {path: api.PathVerify, body: `{"features":["departures.load"]}`},
		api.PathFeastOnline:     {path: api.PathFeastOnline, body: `{"features":["departures:load"],"entities":{"airport":["JFK","LAX"]}}`},
		api.PathFeastPush:       {path: api.PathFeastPush, body: `{"push_source_name":"flights","df":{"delay":[5]}}`},
		api.PathFeastWrite:      {path: api.PathFeastWrite, body: `{"feature_view_name":"departures","df":{"airport":["JFK"],"last_delay":[5],"event_timestamp":["2001-06-25"]}}`},
		api.PathSQL:             {path: api.PathSQL, body: `{"query":"SELECT 1"}`},
	}
	for _, r := range api.Routes() {
		call, ok := calls[r.Path]
		if !ok {
			call.path = r.Path
		}
		call.method = r.Method
		body := s.want(200, call)
		if r.Answer == nil {
			continue
		}
		media := api.MediaJSON
		if len(r.Media) > 0 {
			media = r.Media[0]
		}
		schema := schemaOf(t, doc, r.Method, r.Path, media)
		texts := []string{body}
		if media == api.MediaNDJSON {
			texts = strings.Split(strings.TrimSpace(body), "\n")
		}
		for _, text := range texts {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatalf("%s: %v", r.Path, err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s %s: %s\n%v", r.Method, r.Path, text, err)
			}
		}
	}
	_, _, body := s.do(request{path: online, body: `{"service":"delay_model"}`})
	v, _ := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err := schemaOf(t, doc, "POST", online, "error").Validate(v); err != nil {
		t.Errorf("an error body: %v", err)
	}
}

func TestDescriptions(t *testing.T) {
	s := start(t, (&parts{}).config())
	for path, want := range map[string]string{
		"/v1/services/delay_model": `{"name":"delay_model","version":3,"views":["departures@2"],"keys":[{"name":"airport","type":"string"},{"name":"destination","type":"string"}],` +
			`"features":[{"name":"departures.last_delay","type":"int64"},{"name":"departures.seen","type":"timestamp"},{"name":"dest.last_delay","type":"int64"}]}`,
		"/v1/views/departures": `{"name":"departures","version":2,"entity":{"name":"airport","key":[{"name":"airport","type":"string"}]},"keys":["origin"],"source":"flights","history":"8d",` +
			`"features":[{"name":"last_delay","type":"int64","latest":"delay","ttl":"7d","default":0},{"name":"seen","type":"timestamp","latest":"known_at","default":null},{"name":"load","type":"float64","latest":"delay","default":null}]}`,
		"/v1/deadletters?limit=2&after=2": `{"letters":[{"seq":3,"time":"0001-01-01T00:00:00Z","source":"flights","reason":"bad","raw":"{"},{"seq":4,"time":"0001-01-01T00:00:00Z","source":"flights","reason":"bad","raw":"{"}],"next":4}`,
		"/v1/deadletters?after=5":         `{"letters":[]}`,
		"/v1/registry/schema":             `{"type":"object"}`,
	} {
		if got := s.want(200, request{method: get, path: path}); strings.TrimSpace(got) != want {
			t.Errorf("%s = %s\nwant %s", path, got, want)
		}
	}
	var versions api.Services
	if err := json.Unmarshal([]byte(s.want(200, request{method: get, path: "/v1/services/delay_model/versions"})), &versions); err != nil || len(versions.Services) != 2 {
		t.Errorf("versions %+v, %v", versions, err)
	}
	if err := json.Unmarshal([]byte(s.want(200, request{method: get, path: "/v1/services"})), &versions); err != nil || len(versions.Services) != 1 || versions.Services[0].Version != 3 {
		t.Errorf("services %+v, %v", versions, err)
	}
}
