package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/feature"
)

// Columns that a Feast client adds to what it writes.
const (
	feastEventTime = "event_timestamp"
	feastCreated   = "created"
)

// feastPush answers POST /push: rows of a source, given as columns.
func (s *Server) feastPush(c *gin.Context) error {
	f, err := s.frame(c, "push_source_name")
	if err != nil {
		return err
	}
	src, err := s.sourceNamed(f.target)
	if err != nil {
		return err
	}
	switch f.to {
	case "", "online_and_offline":
	case "online", "offline":
		return fieldError("to", "%q cannot be kept: an event is in the log, and from there in the history and in what is served. Push to online_and_offline, or leave it out", f.to)
	default:
		return fieldError("to", "%q: expected online_and_offline", f.to)
	}
	return s.pushFrame(c, src.Name, f, f.names)
}

// feastWrite answers POST /write-to-online-store, by which Feast's clients push to a view and materialize. Each
// row becomes an event of the view's source.
func (s *Server) feastWrite(c *gin.Context) error {
	f, err := s.frame(c, "feature_view_name")
	if err != nil {
		return err
	}
	catalog := s.cfg.Catalog()
	ref, err := feature.ParseRef(feastView(f.target))
	if err != nil {
		return err
	}
	v := catalog.View(ref.Name, ref.Version)
	if v == nil {
		return notFound("view", f.target, viewNames(catalog))
	}
	w := &feastWriter{catalog: catalog, view: v, source: catalog.Source(v.Source), frame: f}
	columns, err := w.columns()
	if err != nil {
		return err
	}
	return s.pushFrame(c, v.Source, f, columns)
}

// pushFrame pushes the rows of f, whose columns are called columns in the source; "" leaves one out.
func (s *Server) pushFrame(c *gin.Context, source string, f *feastFrame, columns []string) error {
	if s.cfg.Pusher == nil {
		return absent("take events")
	}
	if len(f.cells) > 0 && len(f.cells[0]) > s.cfg.Limits.Rows {
		return tooManyRows(s.cfg.Limits.Rows)
	}
	answer, err := s.pushRows(c.Request.Context(), &Push{Source: source, Rows: f.rowsAs(columns)})
	if err != nil {
		if e, ok := errors.AsType[*feature.Error](err); ok {
			for i := range e.Details {
				if at := slices.Index(columns, e.Details[i].Field); at >= 0 && columns[at] != "" {
					e.Details[i].Field = f.names[at]
				}
			}
		}
		return err
	}
	writeJSON(c, http.StatusOK, answer)
	return nil
}

// feastFrame is rows that came as columns.
type feastFrame struct {
	target string // the source or view they are for
	to     string
	names  []string
	cells  [][]json.RawMessage // by column, then by row
}

// frame reads the body of a push whose target stands in the field named.
func (s *Server) frame(c *gin.Context, target string) (*feastFrame, error) {
	body, err := s.readJSON(c)
	if err != nil {
		return nil, err
	}
	// Each value is behind a comma, or is the first of its column.
	if err := s.charge(c, placeCost*int64(bytes.Count(body, []byte{','}))); err != nil {
		return nil, err
	}
	f := &feastFrame{}
	if err := f.parse(body, target); err != nil {
		return nil, invalid(err)
	}
	return f, nil
}

func (f *feastFrame) parse(body []byte, target string) error {
	known := []string{target, "df", "allow_registry_cache", "transform_on_write"}
	if target == "push_source_name" {
		known = append(known, "to")
	}
	sc := &scanner{data: body}
	var r onlineRequest // for its way to read text
	err := sc.object(func(name []byte) error {
		field := string(name)
		switch {
		case !slices.Contains(known, field):
			return unknownName("field", field, known)
		case sc.peek() == 'n':
			return sc.skip()
		case field == target:
			return r.text(sc, field, func(v string) error { f.target = v; return nil })
		case field == "to":
			return r.text(sc, field, func(v string) error { f.to = v; return nil })
		case field == "df":
			return f.parseColumns(sc)
		default:
			_, err := parseBool(sc, field)
			return err
		}
	})
	switch {
	case err != nil:
		return err
	case f.target == "":
		return fieldError(target, "missing")
	case f.names == nil:
		return fieldError("df", "missing: expected an object with an array for each column")
	}
	return sc.end()
}

func (f *feastFrame) parseColumns(sc *scanner) error {
	if sc.peek() != '{' {
		return fieldError("df", "expected an object with an array for each column")
	}
	f.names = []string{}
	err := sc.object(func(name []byte) error {
		if sc.peek() != '[' {
			v, err := sc.span()
			if err != nil {
				return err
			}
			return fieldError("df", `expected an array for column %q, got %s: to_dict(orient="list") of a frame gives arrays`, name, kindOf(v))
		}
		var cells []json.RawMessage
		err := sc.array(func() error {
			cell, err := sc.span()
			cells = append(cells, cell)
			return err
		})
		f.names, f.cells = append(f.names, string(name)), append(f.cells, cells)
		return err
	})
	if err != nil {
		return err
	}
	for i := range f.cells {
		if n, first := len(f.cells[i]), len(f.cells[0]); n != first {
			return fieldError("df", "column %q has %d values, %q has %d", f.names[i], n, f.names[0], first)
		}
	}
	return nil
}

// rowsAs returns the rows as JSON objects, the columns called as said; a column called "" is left out.
func (f *feastFrame) rowsAs(columns []string) []json.RawMessage {
	if len(f.cells) == 0 {
		return nil
	}
	quoted := make([][]byte, len(columns))
	for i, name := range columns {
		quoted[i] = append(feature.StringValue(name).AppendJSON(nil), ':')
	}
	rows := make([]json.RawMessage, len(f.cells[0]))
	for row := range rows {
		b := []byte{'{'}
		for i, name := range columns {
			if name == "" {
				continue
			}
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(append(b, quoted[i]...), f.cells[i][row]...)
		}
		rows[row] = append(b, '}')
	}
	return rows
}

// feastWriter makes events of a view's source of rows of the view.
type feastWriter struct {
	catalog *feature.Catalog
	view    *feature.View
	source  *feature.Source
	frame   *feastFrame
}

// columns returns for each column of the frame the column of the source that it is, "" for none, and puts the
// frame's values in the form that events have. It fails when a column is missing, unknown or not to be kept.
func (w *feastWriter) columns() ([]string, error) {
	f := w.frame
	columns := make([]string, len(f.names))
	var bad []feature.Detail
	for i, name := range f.names {
		column, err := w.column(name, f.cells[i])
		if err == nil && column != "" {
			var details []feature.Detail
			details, err = w.convert(i, column)
			bad = append(bad, details...)
			if first := slices.Index(columns[:i], column); err == nil && len(bad) == 0 && first >= 0 {
				column, err = "", w.same(i, first)
			}
		}
		if err != nil {
			bad = append(bad, feature.Detail{Field: name, Message: err.Error()})
		}
		columns[i] = column
	}
	if len(bad) == 0 {
		bad = w.missing(columns)
	}
	if len(bad) == 0 {
		return columns, nil
	}
	err := feature.Errorf(feature.CodeInvalid, "the rows of view %s cannot be taken", w.view.Name)
	err.Details = bad[:min(len(bad), maxDetails)]
	return nil, err
}

// column returns the column of the source that a Feast client calls name.
func (w *feastWriter) column(name string, cells []json.RawMessage) (string, error) {
	switch i := feature.FieldIndex(w.view.Entity.Key, name); {
	case name == feastEventTime:
		return w.source.EventTime, nil
	case name == feastCreated:
		return w.created(cells)
	case i >= 0:
		return w.view.Keys[i], nil
	}
	if i := w.view.Feature(name); i >= 0 {
		if w.view.Features[i].Window != nil {
			return "", fmt.Errorf("it is computed from the events of source %s and cannot be written: push those to /push", w.source.Name)
		}
		return w.view.Features[i].Latest, nil
	}
	expected := []string{feastEventTime, feastCreated}
	for _, k := range w.view.Entity.Key {
		expected = append(expected, k.Name)
	}
	for _, x := range w.view.Features {
		expected = append(expected, x.Name)
	}
	return "", fmt.Errorf("view %s has no such key or feature: expected one of %s", w.view.Name, strings.Join(expected, ", "))
}

// created is what decides between rows of one event time in Feast: our tiebreak, where it is a time.
func (w *feastWriter) created(cells []json.RawMessage) (string, error) {
	at := feature.FieldIndex(w.source.Columns, w.source.Tiebreak)
	switch {
	case at >= 0 && w.source.Columns[at].Type == feature.Timestamp:
		return w.source.Tiebreak, nil
	case !slices.ContainsFunc(cells, func(c json.RawMessage) bool { return string(c) != "null" }):
		return "", nil
	default:
		return "", fmt.Errorf("source %s has no place for it: give it a timestamp column as its tiebreak", w.source.Name)
	}
}

// convert replaces the cells of column i by values of the source's column as events have them.
func (w *feastWriter) convert(i int, column string) (bad []feature.Detail, err error) {
	typ := w.source.Columns[feature.FieldIndex(w.source.Columns, column)].Type
	for row, cell := range w.frame.cells[i] {
		t, err := valueToken(&scanner{data: cell})
		if err != nil {
			return nil, err
		}
		v, err := feastValue(&t, typ)
		if err != nil {
			bad = append(bad, feature.Detail{Row: &row, Field: w.frame.names[i], Message: err.Error()})
			continue
		}
		w.frame.cells[i][row] = v.AppendJSON(nil)
	}
	return bad, nil
}

// same fails unless columns i and first, which are one column of the source, have the same values.
func (w *feastWriter) same(i, first int) error {
	for row, cell := range w.frame.cells[i] {
		if !bytes.Equal(cell, w.frame.cells[first][row]) {
			return fmt.Errorf("row %d: it is %s, but %s, which is the same column of source %s, is %s", row, cell, w.frame.names[first], w.source.Name, w.frame.cells[first][row])
		}
	}
	return nil
}

// missing returns what the rows must have and do not. A row is an event of the source, which every view of the
// source sees that finds its keys there: a column that is left out would be NULL in that view's features.
func (w *feastWriter) missing(columns []string) []feature.Detail {
	var bad []feature.Detail
	need := func(column, field, message string) {
		if !slices.Contains(columns, column) && !slices.ContainsFunc(bad, func(d feature.Detail) bool { return d.Field == field }) {
			bad = append(bad, feature.Detail{Field: field, Message: message})
		}
	}
	need(w.source.EventTime, feastEventTime, "missing: expected an array of timestamp")
	for i, k := range w.view.Entity.Key {
		need(w.view.Keys[i], k.Name, "missing: expected an array of "+k.Type.String())
	}
	for _, f := range w.view.Features {
		if f.Window != nil {
			continue // the columns that it reads are looked at below
		}
		need(f.Latest, f.Name, "missing: expected an array of "+f.Type.String())
	}
	for _, v := range w.catalog.Views {
		if v.Source != w.source.Name || slices.ContainsFunc(v.Keys, func(k string) bool { return !slices.Contains(columns, k) }) {
			continue
		}
		for _, column := range v.Columns() {
			need(column, column, fmt.Sprintf("missing: view %s reads this column of source %s and would find NULL. Push whole rows of the source to /push", v.Ref(), w.source.Name))
		}
	}
	return bad
}
