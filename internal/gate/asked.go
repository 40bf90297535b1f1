package gate

import (
	"encoding/json"

	"github.com/lockstepfs/lockstep/feature"
)

// Asked returns rows of a source that a read brings (rule D4) as a push of them now would put them into the log, all of
// them or the error: CodeNotFound for an unknown source, CodeInvalid with the first 100 details for bad rows. Whether a
// row is a copy (rule E1) is not looked at.
func (g *Gate) Asked(source string, rows []json.RawMessage) (*feature.Batch, error) {
	b, err := g.builder(source)
	if err != nil {
		return nil, err
	}
	var bad []feature.Detail
	for i, raw := range rows {
		for _, d := range b.add(raw) {
			if len(bad) < maxDetails {
				d.Row = &i
				bad = append(bad, d)
			}
		}
	}
	if len(bad) > 0 {
		e := feature.Errorf(feature.CodeInvalid, "the events of source %s that the request brings cannot be taken", source)
		e.Details = bad
		return nil, e
	}
	return b.Batch(), nil
}
