package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/feature"
)

// feastOnline answers POST /get-online-features: a read now, in the shape that Feast's clients expect.
func (s *Server) feastOnline(c *gin.Context) error {
	if s.cfg.Reader == nil {
		return absent("answer reads")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	req := feastRequest{onlineRequest: onlineRequest{limit: s.cfg.Limits.Keys, path: feature.PathAuto}}
	if err := req.parse(body); err != nil {
		return invalid(err)
	}
	if req.at, err = feature.TimeOf(s.cfg.Now()); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	return again(func() error { return s.feastOnlineOnce(c, &req) })
}

// feastOnlineOnce answers req, all of it from the definitions that are served now.
func (s *Server) feastOnlineOnce(c *gin.Context, req *feastRequest) error {
	catalog := s.cfg.Serving()
	p, err := s.reads.plan(catalog, req.service, req.features)
	if err != nil {
		return err
	}
	keys := append(slices.Clip(p.plan.Keys), req.spareKeys(catalog, p.plan)...)
	names, err := feastNames(p.plan, keys, req.full)
	if err != nil {
		return err
	}
	l := &feature.Lookup{Plan: p.plan, At: req.at}
	given := req.divided(p.plan.Inputs)
	columns, err := given.keys(keys)
	if err != nil {
		return err
	}
	l.Keys = columns[:len(p.plan.Keys)]
	if l.Inputs, err = s.inputs(c, given, p.plan.Inputs); err != nil {
		return err
	}
	a, err := s.lookup(c, l, req.path)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	var counts [4]int
	*buf = appendFeast((*buf)[:0], columns, a.Cells, len(p.plan.Slots), &counts)
	*buf = append(append(append(*buf, `,"metadata":{"feature_names":`...), names...), "}}\n"...)
	s.send(c, buf, &counts)
	return nil
}

// feastRequest is an api.FeastOnlineRequest.
type feastRequest struct {
	onlineRequest

	full bool // names are to have their view
}

var feastOnlineFields = []string{"feature_service", "features", "entities", "full_feature_names", "include_feature_view_version_metadata"}

func (r *feastRequest) parse(body []byte) error {
	sc := &scanner{data: body}
	err := sc.object(func(name []byte) error {
		if sc.peek() == 'n' {
			return sc.skip()
		}
		switch string(name) {
		case "feature_service":
			return r.text(sc, "feature_service", func(v string) error { r.service = v; return nil })
		case "features":
			return r.parseFeatures(sc)
		case "entities":
			return r.parseColumns(sc, "entities", "key", &r.entities)
		case "full_feature_names":
			var err error
			r.full, err = parseBool(sc, "full_feature_names")
			return err
		case "include_feature_view_version_metadata":
			_, err := parseBool(sc, "include_feature_view_version_metadata")
			return err
		default:
			return unknownName("field", string(name), feastOnlineFields)
		}
	})
	if err != nil {
		return err
	}
	for i, ref := range r.features {
		if r.features[i], err = feastRef(ref); err != nil {
			return err
		}
	}
	return sc.end()
}

func parseBool(sc *scanner, name string) (bool, error) {
	v, err := sc.span()
	if err != nil {
		return false, err
	}
	if string(v) != "true" && string(v) != "false" {
		return false, fieldError(name, "expected true or false, got %s", kindOf(v))
	}
	return string(v) == "true", nil
}

// feastRef makes "view.feature" of "view:feature", and "view@2.feature" of "view@v2:feature".
func feastRef(ref string) (string, error) {
	view, name, ok := strings.Cut(ref, ":")
	if !ok || view == "" || name == "" {
		return "", fieldError("features", "%q: expected VIEW:FEATURE", ref)
	}
	return feastView(view) + "." + name, nil
}

// feastView makes "view@2" of "view@v2".
func feastView(view string) string { return strings.Replace(view, "@v", "@", 1) }

// divided returns the request with the inputs of on-demand features by themselves: Feast's clients send them among the keys.
func (r *feastRequest) divided(inputs []feature.Field) *onlineRequest {
	out := onlineRequest{limit: r.limit}
	for _, column := range r.entities {
		if feature.FieldIndex(inputs, column.name) >= 0 {
			out.request = append(out.request, column)
		} else {
			out.entities = append(out.entities, column)
		}
	}
	return &out
}

// spareKeys returns the keys of the request that the features do not need but others have. Feast's clients may
// send them, and get them back.
func (r *feastRequest) spareKeys(catalog *feature.Catalog, p *feature.Plan) []feature.Field {
	var spare []feature.Field
	for _, k := range r.entities {
		if feature.FieldIndex(p.Keys, k.name) >= 0 || feature.FieldIndex(p.Inputs, k.name) >= 0 {
			continue
		}
		for _, e := range catalog.Entities {
			if i := feature.FieldIndex(e.Key, k.name); i >= 0 {
				spare = append(spare, e.Key[i])
				break
			}
		}
	}
	return spare
}

// feastNames returns the names of the answer's columns as a JSON array. Without their views they may be equal.
func feastNames(p *feature.Plan, keys []feature.Field, full bool) ([]byte, error) {
	names := make([]string, 0, len(keys)+len(p.Slots))
	for _, k := range keys {
		names = append(names, k.Name)
	}
	for _, column := range p.Names {
		role, name, _ := strings.Cut(column, ".")
		if full {
			name = role + "__" + name
		}
		names = append(names, name)
	}
	sorted := slices.Sorted(slices.Values(names))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] != sorted[i-1] {
			continue
		}
		if full {
			return nil, feature.Errorf(feature.CodeInvalid, "%q is asked for twice", sorted[i])
		}
		return nil, feature.Errorf(feature.CodeInvalid, "two columns of the answer would be called %q: ask with full_feature_names", sorted[i])
	}
	return json.Marshal(names)
}
