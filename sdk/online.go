package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// OnlineRequest asks for the features of a service, or a list of features, for some keys at one instant.
type OnlineRequest struct {
	Service  string   // NAME or NAME@VERSION; either this or Features
	Features []string // VIEW.FEATURE names
	// Entities has for each key name a slice of values, all of one length: []string, []int64, []bool,
	// []time.Time, []feature.Value or []any with nil for NULL.
	Entities map[string]any
	Request  map[string]any // for each input of on-demand features a slice of values, as long as those of Entities
	// Events are rows that count for this read alone, as if they were the newest in the log, such as the transaction that is
	// scored: for each source a slice or an iter.Seq of rows as in PushRequest.
	Events map[string]any
	At     time.Time    // the instant of the read; the zero Time for now
	Path   feature.Path // "" for auto
}

// OnlineResponse answers an OnlineRequest.
type OnlineResponse struct {
	Names   []string // the features in the order of the service
	Vectors []Vector // one for each key, in the order of the request
	Meta    api.OnlineMeta
}

// Vector is the features of one key.
type Vector struct {
	Row       // the features by name
	Keys  Row // the key by name
	cells []feature.Cell
}

// Cell returns the feature called name with its status and the time of its event; ok is false when there is
// none of that name.
func (v Vector) Cell(name string) (c feature.Cell, ok bool) {
	if v.columns == nil {
		return feature.Cell{}, false
	}
	i, ok := v.columns.index[name]
	if !ok {
		return feature.Cell{}, false
	}
	return v.cells[i], true
}

// Cells returns the features in order, with statuses and event times. The caller must not change them.
func (v Vector) Cells() []feature.Cell { return v.cells }

// Online reads features. Errors of the caller are feature.ErrInvalid and feature.ErrNotFound.
func (c *Client) Online(ctx context.Context, req OnlineRequest) (*OnlineResponse, error) {
	k, err := req.call(api.PathOnline)
	if err != nil {
		return nil, err
	}
	k.repeat = true
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, c.unreachable(ctx, k, err)
	}
	var answer api.OnlineResponse
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	out, err := vectors(&answer, resp.Header)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return out, nil
}

// Explain says what both paths make of one key at one instant, and of which events; req.Path is left out.
func (c *Client) Explain(ctx context.Context, req OnlineRequest) (*api.Explanation, error) {
	k, err := req.call(api.PathExplain)
	if err != nil {
		return nil, err
	}
	k.repeat = true
	out := new(api.Explanation)
	if err := c.json(ctx, k, out); err != nil {
		return nil, err
	}
	return out, nil
}

// call posts the request to a path.
func (r *OnlineRequest) call(path string) (call, error) {
	body := api.OnlineRequest{Service: r.Service, Features: r.Features, Entities: r.Entities, Request: r.Request, Path: r.Path}
	if !r.At.IsZero() {
		body.At = r.At.UTC().Format(time.RFC3339Nano)
	}
	for source, rows := range r.Events {
		lines, err := encodeRows(rows)
		if err != nil {
			return call{}, fmt.Errorf("events of source %s: %w", source, err)
		}
		if body.Events == nil {
			body.Events = map[string][]json.RawMessage{}
		}
		body.Events[source] = []json.RawMessage{}
		for line := range bytes.Lines(lines) {
			body.Events[source] = append(body.Events[source], line)
		}
	}
	return post(path, body)
}

// vectors makes typed values of an answer.
func vectors(a *api.OnlineResponse, header http.Header) (*OnlineResponse, error) {
	names, err := typedFields(a.Names, header.Get(api.HeaderTypes))
	if err != nil {
		return nil, err
	}
	if len(a.Statuses) != len(a.Values) || len(a.EventTimes) != len(a.Values) {
		return nil, fmt.Errorf("%d rows of values, %d of statuses and %d of event times", len(a.Values), len(a.Statuses), len(a.EventTimes))
	}
	keys, err := keyRows(a, header.Get(api.HeaderKeyTypes))
	if err != nil {
		return nil, err
	}
	out := &OnlineResponse{Names: a.Names, Vectors: make([]Vector, len(a.Values)), Meta: a.Meta}
	for i := range a.Values {
		if len(a.Values[i]) != len(a.Names) || len(a.Statuses[i]) != len(a.Names) || len(a.EventTimes[i]) != len(a.Names) {
			return nil, fmt.Errorf("row %d does not have %d places", i, len(a.Names))
		}
		v := Vector{Row: Row{names, make([]feature.Value, len(a.Names))}, Keys: keys[i], cells: make([]feature.Cell, len(a.Names))}
		for j := range a.Names {
			if v.cells[j], err = cell(a, names, i, j); err != nil {
				return nil, fmt.Errorf("row %d, %s: %w", i, a.Names[j], err)
			}
			v.values[j] = v.cells[j].Value
		}
		out.Vectors[i] = v
	}
	return out, nil
}

func cell(a *api.OnlineResponse, names *columns, i, j int) (feature.Cell, error) {
	value, err := parseValue(a.Values[i][j], names.fields[j].Type)
	if err != nil {
		return feature.Cell{}, err
	}
	c := feature.Cell{Value: value, Status: a.Statuses[i][j]}
	if at := a.EventTimes[i][j]; at != nil {
		c.HasTime = true
		c.EventTime, err = feature.ParseTime(*at)
	}
	return c, err
}

func typedFields(names []string, types string) (*columns, error) {
	parsed, err := parseTypes(types, len(names))
	if err != nil {
		return nil, err
	}
	fields := make([]feature.Field, len(names))
	for i, n := range names {
		fields[i] = feature.Field{Name: n, Type: parsed[i]}
	}
	return newColumns(fields), nil
}

// keyRows turns the columns of keys into rows, the names sorted.
func keyRows(a *api.OnlineResponse, header string) ([]Row, error) {
	types, err := url.ParseQuery(header)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", api.HeaderKeyTypes, err)
	}
	var fields []feature.Field
	for _, name := range slices.Sorted(maps.Keys(a.Keys)) {
		f := feature.Field{Name: name}
		if t := types.Get(name); t != "" { // a proxy may drop headers
			if f.Type, err = feature.ParseType(t); err != nil {
				return nil, fmt.Errorf("header %s: %w", api.HeaderKeyTypes, err)
			}
		}
		fields = append(fields, f)
	}
	shared, rows := newColumns(fields), make([]Row, len(a.Values))
	for i := range rows {
		rows[i] = Row{shared, make([]feature.Value, len(fields))}
	}
	for i, f := range fields {
		var column []json.RawMessage
		if err := json.Unmarshal(a.Keys[f.Name], &column); err != nil {
			return nil, fmt.Errorf("key %s: %w", f.Name, err)
		}
		if len(rows) != len(column) {
			return nil, fmt.Errorf("key %s has %d values for %d rows", f.Name, len(column), len(rows))
		}
		for j, raw := range column {
			if rows[j].values[i], err = parseValue(raw, f.Type); err != nil {
				return nil, fmt.Errorf("key %s, row %d: %w", f.Name, j, err)
			}
		}
	}
	return rows, nil
}
