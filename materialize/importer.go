package materialize

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// Archive is the offline store as imports write it.
type Archive interface {
	// FindImport returns the generation that holds a file of this content whole, if any.
	FindImport(ctx context.Context, src *feature.Source, hash string) (generation uint64, rows int64, found bool, err error)
	BeginImport(ctx context.Context, src *feature.Source, name, hash string) (generation uint64, err error)
	// InsertImport adds rows to the generation, the first of which is its first'th, from 0; the same rows twice
	// add nothing.
	InsertImport(ctx context.Context, src *feature.Source, generation uint64, first int64, b *feature.Batch) error
	// FinishImport records that the generation is whole.
	FinishImport(ctx context.Context, src *feature.Source, generation uint64, rows int64) error
	// AbortImport removes the generation's rows.
	AbortImport(ctx context.Context, src *feature.Source, generation uint64) error
	// Copies returns how many rows of a generation are no events because they are copies, and how many of these
	// differ from their event (rule E1).
	Copies(ctx context.Context, source string, generation uint64) (duplicates, conflicts int64, err error)
	// Conflicts returns rows that differ from the events that they are copies of, in order, limit at the most.
	Conflicts(ctx context.Context, source string, generation uint64, limit int) ([]feature.Copy, error)
}

// Recorder writes records into the log.
type Recorder interface {
	PublishRecord(ctx context.Context, r eventlog.Record) (seq uint64, err error)
}

// Importer carries files into the history of a source (rule C3).
type Importer struct {
	Archive Archive
	Log     Recorder // publishing a record again returns the sequence of the first
	Dead    Refuser  // for Copies
	Logger  *slog.Logger
	Now     func() time.Time
}

// ImportRequest names a file to import.
type ImportRequest struct {
	Source *feature.Source
	Path   string
	Format rowfile.Format
	Name   string // the name to show and to record, such as the file's name at the client
}

// ImportProgress says how far an import has come.
type ImportProgress struct {
	Rows int64   `json:"rows"`
	Done float64 `json:"done"` // share of the file read, 0 to 1
}

// ImportResult says what an import did.
type ImportResult struct {
	Rows       int64  `json:"rows"`
	Generation uint64 `json:"generation"`
	Seq        uint64 `json:"seq"`     // of the record in the log
	Already    bool   `json:"already"` // this content was imported before: nothing was added (rule E2)
}

const (
	importPart  = 200_000 // rows of one insert
	maxBadShown = 20      // bad rows after which an import gives up
)

// Import reads the whole file through the gate into a new generation and then records it in the log. The first
// bad rows end it with a CodeInvalid error that names up to 20 of them; then, and on any other error, nothing of
// the file is in the history. progress may be nil.
func (im *Importer) Import(ctx context.Context, req ImportRequest, progress func(ImportProgress)) (ImportResult, error) {
	if progress == nil {
		progress = func(ImportProgress) {}
	}
	hash, err := contentHash(req.Path)
	if err != nil {
		return ImportResult{}, err
	}
	gen, rows, found, err := im.Archive.FindImport(ctx, req.Source, hash)
	if err != nil {
		return ImportResult{}, err
	}
	if found {
		// Recording it once more adds nothing, unless the process that imported it was stopped before it did.
		return im.record(ctx, req, ImportResult{Rows: rows, Generation: gen, Already: true})
	}
	gen, err = im.Archive.BeginImport(ctx, req.Source, req.Name, hash)
	if err != nil {
		return ImportResult{}, err
	}
	rows, err = im.load(ctx, req, gen, progress)
	if err == nil {
		err = im.Archive.FinishImport(ctx, req.Source, gen, rows)
	}
	if err != nil {
		im.abort(ctx, req.Source, gen)
		return ImportResult{}, err
	}
	return im.record(ctx, req, ImportResult{Rows: rows, Generation: gen})
}

// record puts the generation's record into the log. Where that fails it may be there all the same, so the rows
// stay: without a record nobody sees them.
func (im *Importer) record(ctx context.Context, req ImportRequest, r ImportResult) (ImportResult, error) {
	record := eventlog.Record{Kind: eventlog.RecordImport, Source: req.Source.Name, Generation: r.Generation, Barrier: len(req.Source.ID) > 0}
	seq, err := im.Log.PublishRecord(ctx, record)
	if err != nil {
		return ImportResult{}, fmt.Errorf("record the import of %s: %w", req.Name, err)
	}
	r.Seq = seq
	return r, nil
}

func (im *Importer) abort(ctx context.Context, src *feature.Source, gen uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := im.Archive.AbortImport(ctx, src, gen); err != nil {
		im.Logger.Warn("rows of an import that ended early stay in ClickHouse, where nobody reads them",
			slog.String("source", src.Name), slog.Uint64("generation", gen), slog.Any("error", err))
	}
}

// load reads, checks and inserts; reading and inserting overlap.
func (im *Importer) load(ctx context.Context, req ImportRequest, gen uint64, progress func(ImportProgress)) (int64, error) {
	file, err := openFile(req)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	arrival, err := feature.TimeOf(im.Now())
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan *feature.Batch, 1)
	total := int64(0)
	group.Go(func() error {
		defer close(parts)
		return im.read(ctx, req, file, gate.NewBuilder(req.Source, arrival), parts)
	})
	group.Go(func() error {
		for {
			b, ok := <-parts
			if !ok {
				return nil
			}
			if err := im.Archive.InsertImport(ctx, req.Source, gen, total, b); err != nil {
				return err
			}
			total += int64(b.Rows)
			progress(ImportProgress{Rows: total, Done: file.Done()})
		}
	})
	err = group.Wait()
	return total, err
}

func (im *Importer) read(ctx context.Context, req ImportRequest, file *rowfile.Reader, builder *gate.Builder, parts chan<- *feature.Batch) error {
	var bad []feature.Detail
	row, pending := 0, 0
	send := func() error {
		if pending == 0 || len(bad) > 0 {
			return nil
		}
		pending = 0
		select {
		case parts <- builder.Batch():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	add := func(chunk *feature.Batch) {
		for _, d := range builder.AddBatch(chunk) {
			if d.Row != nil {
				at := row + *d.Row
				d.Row = &at
			}
			d.File = req.Name
			bad = append(bad, d)
		}
	}
	if len(file.Fields()) > 0 { // a file without rows has columns too, but for JSON lines
		add(headingsOf(file))
	}
	for len(bad) == 0 || row > 0 {
		chunk, err := file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return inFile(err, req.Name)
		}
		add(chunk)
		row += chunk.Rows
		pending += chunk.Rows
		if len(bad) >= maxBadShown {
			break
		}
		if pending >= importPart {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(bad) > 0 {
		message := "bad rows; nothing of the file was imported (rows count from 0)"
		if bad[0].Row == nil {
			message = "bad columns; nothing of the file was imported"
		}
		return &feature.Error{Code: feature.CodeInvalid, Message: message, Details: bad[:min(len(bad), maxBadShown)]}
	}
	return send()
}

// headingsOf returns a batch of no rows with the columns that the file has as it begins.
func headingsOf(file *rowfile.Reader) *feature.Batch {
	b := &feature.Batch{Fields: file.Fields()}
	for _, f := range b.Fields {
		b.Columns = append(b.Columns, feature.Column{Type: f.Type})
	}
	return b
}

// inFile gives the details of a reading error the name that the user knows the file by.
func inFile(err error, name string) error {
	e, ok := errors.AsType[*feature.Error](err)
	if !ok {
		return fmt.Errorf("read %s: %w", name, err)
	}
	e.Message = "bad file; nothing of it was imported"
	for i := range e.Details {
		e.Details[i].File = name
	}
	return e
}

func contentHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", feature.Errorf(feature.CodeInvalid, "open the file to import: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
