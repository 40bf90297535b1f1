package server

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// online answers POST /v1/features/online.
func (s *Server) online(c *gin.Context) error {
	if s.cfg.Reader == nil {
		return absent("answer reads")
	}
	req, err := s.parseOnline(c)
	if err != nil {
		return err
	}
	return again(func() error { return s.onlineOnce(c, req) })
}

// parseOnline reads the body of a read.
func (s *Server) parseOnline(c *gin.Context) (*onlineRequest, error) {
	body, err := s.readJSON(c)
	if err != nil {
		return nil, err
	}
	req := &onlineRequest{limit: s.cfg.Limits.Keys}
	if err := req.parse(body); err != nil {
		return nil, invalid(err)
	}
	if !req.timed {
		if req.at, err = feature.TimeOf(s.cfg.Now()); err != nil {
			return nil, fmt.Errorf("read the clock: %w", err)
		}
	}
	return req, nil
}

// again reads, and reads again when the definitions changed meanwhile.
func again(read func() error) error {
	var err error
	for range 10 {
		if err = read(); !errors.Is(err, feature.ErrConflict) {
			return err
		}
	}
	return err
}

// onlineOnce answers req, all of it from the definitions that are served now.
func (s *Server) onlineOnce(c *gin.Context, req *onlineRequest) error {
	p, l, err := s.lookupOf(c, req)
	if err != nil {
		return err
	}
	a, err := s.lookup(c, l, req.path)
	if err != nil {
		return err
	}
	s.answer(c, p, l, a)
	return nil
}

// lookupOf returns what req asks for, from the definitions that are served now.
func (s *Server) lookupOf(c *gin.Context, req *onlineRequest) (*compiled, *feature.Lookup, error) {
	p, err := s.reads.plan(s.cfg.Serving(), req.service, req.features)
	if err != nil {
		return nil, nil, err
	}
	l := &feature.Lookup{Plan: p.plan, At: req.at}
	if l.Keys, err = req.keys(p.plan.Keys); err != nil {
		return nil, nil, err
	}
	if l.Inputs, err = s.inputs(c, req, p.plan.Inputs); err != nil {
		return nil, nil, err
	}
	l.Events, err = s.asked(c, p.plan, req.events)
	return p, l, err
}

// lookup charges for the answer and gets it.
func (s *Server) lookup(c *gin.Context, l *feature.Lookup, path feature.Path) (*feature.Answer, error) {
	cost := cellCost * int64(l.Rows()*len(l.Plan.Slots))
	if err := s.charge(c, cost); err != nil {
		return nil, err
	}
	a, err := s.cfg.Reader.Lookup(c.Request.Context(), l, path)
	if err != nil {
		s.refund(c, cost) // it may be tried again
		return nil, err
	}
	if want := l.Rows() * len(l.Plan.Slots); len(a.Cells) != want {
		return nil, fmt.Errorf("the reader answered %d cells for %d", len(a.Cells), want)
	}
	s.metrics.rows.WithLabelValues(string(a.Path)).Add(float64(l.Rows()))
	return a, nil
}

// answer encodes a.
func (s *Server) answer(c *gin.Context, p *compiled, l *feature.Lookup, a *feature.Answer) {
	buf := buffers.Get().(*[]byte)
	var counts [4]int
	b := appendAnswer((*buf)[:0], p, l, a, &counts)
	*buf = appendMeta(b, p, a, s.cfg.Lag().Milliseconds())
	h := c.Writer.Header()
	h[api.HeaderTypes] = []string{p.types}
	h[api.HeaderKeyTypes] = []string{p.keyTypes}
	s.send(c, buf, &counts)
}

// send writes the answer to a read, counts its values by status and gives the buffer back.
func (s *Server) send(c *gin.Context, buf *[]byte, counts *[4]int) {
	for status, n := range counts {
		if n > 0 {
			s.metrics.values[status].Add(float64(n))
		}
	}
	h := c.Writer.Header()
	h["Content-Type"] = jsonHeader
	h["Content-Length"] = []string{strconv.Itoa(len(*buf))}
	_, _ = c.Writer.Write(*buf) // a client that has gone needs no answer
	if cap(*buf) <= maxPooled {
		buffers.Put(buf)
	}
}

var jsonHeader = []string{api.MediaJSON}

// onlineRequest is an api.OnlineRequest before the types of its keys are known.
type onlineRequest struct {
	limit    int // of keys, and of events of a source
	service  string
	features []string
	entities []keyColumn
	request  []keyColumn // inputs of on-demand features
	at       feature.Time
	timed    bool
	path     feature.Path
	events   []sourceRows
}

// keyColumn is the array of one key name or input, unparsed: part of the body.
type keyColumn struct {
	name string
	raw  []byte
}

var onlineFields = []string{"service", "features", "entities", "request", "events", "at", "path"}

// parse reads the body. Every part may be null, which means left out.
func (r *onlineRequest) parse(body []byte) error {
	r.path = feature.PathAuto
	sc := &scanner{data: body}
	err := sc.object(func(name []byte) error {
		if sc.peek() == 'n' {
			return sc.skip()
		}
		switch string(name) {
		case "service":
			return r.text(sc, "service", func(v string) error { r.service = v; return nil })
		case "features":
			return r.parseFeatures(sc)
		case "entities":
			return r.parseColumns(sc, "entities", "key", &r.entities)
		case "at":
			return r.text(sc, "at", r.parseAt)
		case "path":
			return r.text(sc, "path", r.parsePath)
		case "events":
			return r.parseEvents(sc)
		case "request":
			return r.parseColumns(sc, "request", "input", &r.request)
		default:
			return unknownName("field", string(name), onlineFields)
		}
	})
	if err != nil {
		return err
	}
	return sc.end()
}

// fieldError is about one field of the request.
func fieldError(name, format string, args ...any) error {
	return feature.Errorf(feature.CodeInvalid, "field "+name+": "+format, args...)
}

func (r *onlineRequest) text(sc *scanner, name string, set func(string) error) error {
	if sc.peek() != '"' {
		return r.wrong(sc, name, "a string")
	}
	v, err := sc.text()
	if err != nil {
		return err
	}
	return set(string(v))
}

// wrong is the error for a value of another kind than expected, unless the text is not JSON at all.
func (r *onlineRequest) wrong(sc *scanner, name, expected string) error {
	v, err := sc.span()
	if err != nil {
		return err
	}
	return fieldError(name, "expected %s, got %s", expected, kindOf(v))
}

// kindOf returns the kind of a JSON value in words.
func kindOf(raw []byte) string {
	switch raw[0] {
	case '"':
		return rowjson.String.String()
	case '{':
		return rowjson.Object.String()
	case '[':
		return rowjson.Array.String()
	case 't':
		return rowjson.True.String()
	case 'f':
		return rowjson.False.String()
	case 'n':
		return rowjson.Null.String()
	default:
		return rowjson.Number.String()
	}
}

func (r *onlineRequest) parseAt(v string) error {
	at, err := feature.ParseTime(v)
	if err != nil {
		return fieldError("at", "%w", err)
	}
	r.at, r.timed = at, true
	return nil
}

func (r *onlineRequest) parsePath(v string) error {
	switch p := feature.Path(v); p {
	case feature.PathAuto, feature.PathOnline, feature.PathOffline:
		r.path = p
		return nil
	default:
		return fieldError("path", "unknown path %q: expected auto, online or offline", v)
	}
}

func (r *onlineRequest) parseFeatures(sc *scanner) error {
	if sc.peek() != '[' {
		return r.wrong(sc, "features", "an array of strings")
	}
	return sc.array(func() error {
		return r.text(sc, "features", func(v string) error { r.features = append(r.features, v); return nil })
	})
}

// parseColumns reads an object with an array for each key, or whatever else its names are.
func (r *onlineRequest) parseColumns(sc *scanner, field, what string, into *[]keyColumn) error {
	if sc.peek() != '{' {
		return r.wrong(sc, field, "an object")
	}
	return sc.object(func(name []byte) error {
		raw, err := sc.span()
		if err != nil {
			return err
		}
		if raw[0] != '[' {
			return feature.Errorf(feature.CodeInvalid, "field %s: expected an array for %s %q, got %s", field, what, name, kindOf(raw))
		}
		*into = append(*into, keyColumn{string(name), raw})
		return nil
	})
}

// keys returns a column for each of the expected keys from the request, converted (rule K4). The error names
// every key that is missing or unknown and every value that cannot be taken, up to a hundred.
func (r *onlineRequest) keys(expected []feature.Field) ([][]feature.Value, error) {
	if err := r.checkNames(expected); err != nil {
		return nil, err
	}
	var bad []feature.Detail
	columns := make([][]feature.Value, len(expected))
	for i, f := range expected {
		raw := r.column(f.Name)
		column, details, err := parseKeys(raw, f, r.limit)
		if err != nil {
			return nil, err
		}
		columns[i], bad = column, append(bad, details...)
	}
	for i, f := range expected {
		if n, first := len(columns[i]), len(columns[0]); n != first {
			bad = append(bad, feature.Detail{Field: f.Name, Message: fmt.Sprintf("has %d values, %s has %d", n, expected[0].Name, first)})
		}
	}
	if len(bad) == 0 {
		return columns, nil
	}
	err := feature.Errorf(feature.CodeInvalid, "the keys cannot be taken")
	err.Details = bad[:min(len(bad), maxDetails)]
	return nil, err
}

const maxDetails = 100

// inputs charges for the inputs of the request, those of lists by their elements, and converts them.
func (s *Server) inputs(c *gin.Context, r *onlineRequest, expected []feature.Field) ([][]feature.Value, error) {
	values := 0
	for _, given := range r.request {
		values += bytes.Count(given.raw, []byte(",")) + 1
	}
	if err := s.charge(c, cellCost*int64(values)); err != nil {
		return nil, err
	}
	return r.inputs(expected)
}

// inputs returns a column for each of the expected inputs of on-demand features, converted like keys; nil for one that the request
// does not bring, which is for whoever computes with it to say.
func (r *onlineRequest) inputs(expected []feature.Field) ([][]feature.Value, error) {
	var bad []feature.Detail
	columns := make([][]feature.Value, len(expected))
	for _, given := range r.request {
		at := feature.FieldIndex(expected, given.name)
		if at < 0 {
			bad = append(bad, feature.Detail{Field: given.name, Message: "unknown input: expected " + inputNames(expected)})
			continue
		}
		column, details, err := parseKeys(given.raw, expected[at], r.limit)
		if err != nil {
			return nil, err
		}
		columns[at], bad = column, append(bad, details...)
	}
	if len(bad) == 0 {
		return columns, nil
	}
	err := feature.Errorf(feature.CodeInvalid, "the request inputs cannot be taken")
	err.Details = bad[:min(len(bad), maxDetails)]
	return nil, err
}

func inputNames(fields []feature.Field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return "none, these features need no inputs"
	}
	return strings.Join(names, ", ")
}

func (r *onlineRequest) column(name string) []byte {
	for i := range r.entities {
		if r.entities[i].name == name {
			return r.entities[i].raw
		}
	}
	return nil
}

func (r *onlineRequest) checkNames(expected []feature.Field) error {
	var bad []feature.Detail
	var names []string
	for _, f := range expected {
		names = append(names, f.Name)
		if r.column(f.Name) == nil {
			bad = append(bad, feature.Detail{Field: f.Name, Message: "missing: expected an array of " + f.Type.String()})
		}
	}
	for _, k := range r.entities {
		if feature.FieldIndex(expected, k.name) < 0 {
			bad = append(bad, feature.Detail{Field: k.name, Message: "unknown key: expected " + strings.Join(names, ", ")})
		}
	}
	if len(bad) == 0 {
		return nil
	}
	err := feature.Errorf(feature.CodeInvalid, "the keys of the request are not those of the features")
	err.Details = bad[:min(len(bad), maxDetails)]
	return err
}

// parseKeys reads an array that was scanned before.
func parseKeys(raw []byte, f feature.Field, limit int) (column []feature.Value, bad []feature.Detail, err error) {
	sc := &scanner{data: raw}
	column = make([]feature.Value, 0, min(len(raw)/4+1, limit))
	err = sc.array(func() error {
		if len(column) == limit {
			return feature.Errorf(feature.CodeTooLarge, "%s has more than %d values, the limit of one request", f.Name, limit)
		}
		take := keyToken // which leaves an array unread
		if f.Type.List {
			take = valueToken
		}
		t, err := take(sc)
		if err != nil {
			return err
		}
		v, err := t.Value(f.Type)
		if err != nil && len(bad) < maxDetails {
			row := len(column)
			bad = append(bad, feature.Detail{Row: &row, Field: f.Name, Message: err.Error()})
		}
		column = append(column, v)
		return nil
	})
	return column, bad, invalid(err)
}

// valueToken consumes one value, which may be a list.
func valueToken(sc *scanner) (t rowjson.Token, err error) {
	if sc.peek() != '[' {
		return keyToken(sc)
	}
	t.Kind = rowjson.Array
	err = sc.array(func() error {
		e, err := valueToken(sc)
		t.Elems = append(t.Elems, e)
		return err
	})
	return t, err
}

// keyToken consumes one value in the form in which events are read too, so that both convert alike.
func keyToken(sc *scanner) (t rowjson.Token, err error) {
	switch c := sc.peek(); c {
	case '"':
		t.Kind = rowjson.String
		t.Text, err = sc.text()
	case 'n':
		return rowjson.Token{Kind: rowjson.Null}, sc.skip()
	case 't':
		return rowjson.Token{Kind: rowjson.True}, sc.skip()
	case 'f':
		return rowjson.Token{Kind: rowjson.False}, sc.skip()
	case '[':
		return rowjson.Token{Kind: rowjson.Array}, sc.skip()
	case '{':
		return rowjson.Token{Kind: rowjson.Object}, sc.skip()
	default:
		t.Kind = rowjson.Number
		t.Text, err = sc.number()
	}
	return t, err
}
