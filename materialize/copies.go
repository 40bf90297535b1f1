package materialize

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// Refuser keeps refused rows.
type Refuser interface {
	Refuse(ctx context.Context, letters ...eventlog.Letter) error
}

// listedConflicts is how many conflicts of an import become dead letters.
const listedConflicts = 1000

// Copies returns how many rows of an import of a source with an id are no events because they are copies (rule E1),
// and how many of these differ from their event. The first of these become dead letters, unless the file was
// imported before. The offline store must cover r.Seq.
func (im *Importer) Copies(ctx context.Context, req ImportRequest, r ImportResult) (duplicates, conflicts int64, err error) {
	duplicates, conflicts, err = im.Archive.Copies(ctx, req.Source.Name, r.Generation)
	if err != nil || conflicts == 0 || r.Already {
		return duplicates, conflicts, err
	}
	copies, err := im.Archive.Conflicts(ctx, req.Source.Name, r.Generation, listedConflicts)
	if err != nil {
		return duplicates, conflicts, err
	}
	letters, err := lettersOf(req, copies)
	if err == nil {
		err = im.Dead.Refuse(ctx, letters...)
	}
	if err != nil {
		return duplicates, conflicts, fmt.Errorf("the rows are imported; list the conflicts of %s: %w", req.Name, err)
	}
	return duplicates, conflicts, nil
}

// lettersOf makes dead letters of rows of the file, which are in order.
func lettersOf(req ImportRequest, copies []feature.Copy) ([]eventlog.Letter, error) {
	file, err := openFile(req)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var letters []eventlog.Letter
	before := 0
	for len(copies) > 0 {
		b, err := file.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has %d rows and had more when it was imported", req.Name, before)
		}
		if err != nil {
			return nil, inFile(err, req.Name)
		}
		for len(copies) > 0 && copies[0].Row < before+b.Rows {
			letters = append(letters, eventlog.Letter{
				Source: req.Source.Name, Raw: rowJSON(b, copies[0].Row-before),
				Reason: fmt.Sprintf("%s (row %d of %s)", copies[0].Reason(), copies[0].Row, req.Name),
			})
			copies = copies[1:]
		}
		before += b.Rows
	}
	return letters, nil
}

// rowJSON returns a row as a JSON object.
func rowJSON(b *feature.Batch, row int) []byte {
	out := []byte{'{'}
	for i, f := range b.Fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(feature.StringValue(f.Name).AppendJSON(out), ':')
		out = b.Columns[i].Value(row).AppendJSON(out)
	}
	return append(out, '}')
}

func openFile(req ImportRequest) (*rowfile.Reader, error) {
	types := map[string]feature.Type{}
	for _, f := range req.Source.Columns {
		types[f.Name] = f.Type
	}
	file, err := rowfile.Open(req.Path, req.Format, types)
	if err != nil {
		return nil, inFile(err, req.Name)
	}
	return file, nil
}
