package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/feature"
)

// sourceRows is the rows of one source that a read brings (rule D4), unparsed: parts of the body.
type sourceRows struct {
	source string
	rows   []json.RawMessage
}

func (r *onlineRequest) parseEvents(sc *scanner) error {
	if sc.peek() != '{' {
		return r.wrong(sc, "events", "an object of sources with an array of rows each")
	}
	return sc.object(func(name []byte) error {
		of := sourceRows{source: string(name)}
		if sc.peek() != '[' {
			raw, err := sc.span()
			if err != nil {
				return err
			}
			return fieldError("events", "expected an array of rows for source %q, got %s", name, kindOf(raw))
		}
		err := sc.array(func() error {
			if len(of.rows) == r.limit {
				return feature.Errorf(feature.CodeTooLarge, "the request brings more than %d events of source %s, the limit of one request", r.limit, name)
			}
			raw, err := sc.span()
			of.rows = append(of.rows, raw)
			return err
		})
		r.events = append(r.events, of)
		return err
	})
}

// asked returns the events that a read of the plan brings, converted as pushed ones are. The error names every row and
// column that cannot be taken, up to a hundred.
func (s *Server) asked(c *gin.Context, p *feature.Plan, events []sourceRows) ([]*feature.Batch, error) {
	var out []*feature.Batch
	for _, of := range events {
		sources := sourcesOf(p)
		if !slices.Contains(sources, of.source) {
			return nil, fieldError("events", "nothing that is read is made from a source %q: expected %s", of.source, strings.Join(sources, ", "))
		}
		if len(of.rows) == 0 {
			continue
		}
		if err := s.chargeRows(c, len(of.rows), p.Catalog.Source(of.source)); err != nil {
			return nil, err
		}
		b, err := s.cfg.Reader.Asked(of.source, of.rows)
		if e, ok := errors.AsType[*feature.Error](err); ok {
			for i := range e.Details {
				e.Details[i].Field = strings.TrimSuffix("events."+of.source+"."+e.Details[i].Field, ".")
			}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// sourcesOf returns the names of the sources that a plan reads.
func sourcesOf(p *feature.Plan) []string {
	var names []string
	for i := range p.Items {
		names = append(names, p.Items[i].View.Source)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
