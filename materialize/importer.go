package materialize

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// Archive is the offline store as imports write it.
type Archive interface {
	// FindImports returns the imports of a file of this content that did not come to a bad end: those that the log names first,
	// then whole ones, then the newest.
	FindImports(ctx context.Context, src *feature.Source, hash string) ([]feature.Imported, error)
	// BeginImport begins a generation of the edition that there is or, with replace, one that begins an edition.
	BeginImport(ctx context.Context, src *feature.Source, file feature.File, replace bool) (*feature.Imported, error)
	// ResumeImport takes out what came in behind the import's Rows.
	ResumeImport(ctx context.Context, src *feature.Source, im *feature.Imported) error
	// InsertImport adds rows to the import and counts them in its Rows. After an error it is not known which are in.
	InsertImport(ctx context.Context, src *feature.Source, im *feature.Imported, b *feature.Batch) error
	// FinishImport records that the import is whole.
	FinishImport(ctx context.Context, src *feature.Source, im *feature.Imported) error
	// AbortImport removes the import's rows.
	AbortImport(ctx context.Context, src *feature.Source, im *feature.Imported) error
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
	// Hold calls do while nobody else in the deployment holds the task; where another one does, it is a CodeConflict error. It is nil
	// where nobody else imports.
	Hold   func(ctx context.Context, task string, do func(ctx context.Context) error) error
	Logger *slog.Logger
	Now    func() time.Time
	Part   int // rows of one insert; default 200,000
}

// ImportRequest names a file to import.
type ImportRequest struct {
	Source  *feature.Source
	Path    string
	Format  rowfile.Format
	Name    string // the name to show and to record, such as the file's name at the client
	Replace bool   // begin an edition: what was imported before is no part of it (rule E2)
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
	Edition    uint64 `json:"edition"` // that the generation belongs to; its own number if it began one
	Seq        uint64 `json:"seq"`     // of the record in the log
	Already    bool   `json:"already"` // this content was imported before: nothing was added (rule E2)
	Resumed    int64  `json:"resumed"` // rows that an earlier attempt had brought in
}

const (
	importPart  = 200_000
	maxBadShown = 20 // bad rows after which an import gives up
)

// Import reads the whole file through the gate into a new generation and then records it in the log. The first
// bad rows end it with a CodeInvalid error that names up to 20 of them; then nothing of the file is in the history. On any other
// error nobody sees what is in, and the next Import of the same content goes on behind it. Two at a time of one content take turns.
// progress may be nil.
func (im *Importer) Import(ctx context.Context, req ImportRequest, progress func(ImportProgress)) (result ImportResult, err error) {
	if progress == nil {
		progress = func(ImportProgress) {}
	}
	hash, err := contentHash(req.Path)
	if err != nil {
		return ImportResult{}, err
	}
	err = im.inTurn(ctx, "import."+req.Source.Name+"."+hash[:16], func(ctx context.Context) error {
		result, err = im.once(ctx, req, hash, progress)
		return err
	})
	return result, err
}

// turn is how often an import asks whether another one of its content is done.
const turn = 200 * time.Millisecond

// inTurn calls do when nobody else holds the task.
func (im *Importer) inTurn(ctx context.Context, task string, do func(ctx context.Context) error) error {
	if im.Hold == nil {
		return do(ctx)
	}
	for {
		held := false
		err := im.Hold(ctx, task, func(ctx context.Context) error {
			held = true
			return do(ctx)
		})
		if held || !errors.Is(err, feature.ErrConflict) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(turn):
		}
	}
}

func (im *Importer) once(ctx context.Context, req ImportRequest, hash string, progress func(ImportProgress)) (ImportResult, error) {
	found, err := im.Archive.FindImports(ctx, req.Source, hash)
	if err != nil {
		return ImportResult{}, err
	}
	at := slices.IndexFunc(found, func(f feature.Imported) bool { return req.takes(&f) })
	if at >= 0 && found[at].Whole {
		// Recording it once more adds nothing, unless the process that imported it was stopped before it did.
		return im.record(ctx, req, &found[at], ImportResult{Already: true})
	}
	var into *feature.Imported
	if at >= 0 {
		into = &found[at]
		err = im.Archive.ResumeImport(ctx, req.Source, into)
	} else {
		into, err = im.Archive.BeginImport(ctx, req.Source, feature.File{Name: req.Name, Hash: hash}, req.Replace)
	}
	if err != nil {
		return ImportResult{}, err
	}
	before := into.Rows
	err = im.load(ctx, req, into, progress)
	if err == nil {
		err = im.Archive.FinishImport(ctx, req.Source, into)
	}
	if feature.CodeOf(err) == feature.CodeInvalid {
		im.abort(ctx, req.Source, into)
	}
	if err != nil {
		return ImportResult{}, err
	}
	return im.record(ctx, req, into, ImportResult{Resumed: before})
}

// takes reports whether the request asks for nothing but this import of its content: to go on with it, or nothing more (rule E2).
func (req *ImportRequest) takes(f *feature.Imported) bool {
	current := req.Source.Edition.Number
	switch {
	case !f.Whole && f.Version != req.Source.Version: // it was read by another definition
		return false
	case !req.Replace:
		return f.Edition == current
	case f.Edition != f.Generation:
		return false
	default: // one that has still to become the edition, or that is all there is of it
		return f.Edition > current || f.Edition == current && f.Whole && f.Alone
	}
}

// record puts the generation's record into the log. Where that fails it may be there all the same, so the rows
// stay: without a record nobody sees them.
func (im *Importer) record(ctx context.Context, req ImportRequest, into *feature.Imported, r ImportResult) (ImportResult, error) {
	record := eventlog.Record{
		Kind: eventlog.RecordImport, Source: req.Source.Name, Generation: into.Generation, Edition: into.Edition, Barrier: len(req.Source.ID) > 0,
	}
	seq, err := im.Log.PublishRecord(ctx, record)
	if err != nil {
		return ImportResult{}, fmt.Errorf("record the import of %s: %w", req.Name, err)
	}
	r.Rows, r.Generation, r.Edition, r.Seq = into.Rows, into.Generation, into.Edition, seq
	return r, nil
}

func (im *Importer) abort(ctx context.Context, src *feature.Source, into *feature.Imported) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := im.Archive.AbortImport(ctx, src, into); err != nil {
		im.Logger.Warn("rows of an import that ended early stay in ClickHouse, where nobody reads them",
			slog.String("source", src.Name), slog.Uint64("generation", into.Generation), slog.Any("error", err))
	}
}

// load reads, checks and inserts what is not in; reading and inserting overlap.
func (im *Importer) load(ctx context.Context, req ImportRequest, into *feature.Imported, progress func(ImportProgress)) error {
	file, err := openFile(req)
	if err != nil {
		return err
	}
	defer file.Close()
	arrival, err := feature.TimeOf(im.Now())
	if err != nil {
		return err
	}
	in := into.Rows
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan *feature.Batch, 1)
	group.Go(func() error {
		defer close(parts)
		r := reading{file: file, name: req.Name, skip: int(in), builder: gate.NewBuilder(req.Source, arrival), parts: parts, part: cmp.Or(im.Part, importPart)}
		return r.all(ctx)
	})
	group.Go(func() error {
		for {
			b, ok := <-parts
			if !ok {
				return nil
			}
			if err := im.Archive.InsertImport(ctx, req.Source, into, b); err != nil {
				return err
			}
			progress(ImportProgress{Rows: into.Rows, Done: file.Done()})
		}
	})
	return group.Wait()
}

// reading is a file on its way through the gate.
type reading struct {
	file    *rowfile.Reader
	name    string
	skip    int // rows that are in already
	builder *gate.Builder
	parts   chan<- *feature.Batch
	part    int // rows of each

	row, pending int
	bad          []feature.Detail
}

func (r *reading) all(ctx context.Context) error {
	if len(r.file.Fields()) > 0 { // a file without rows has columns too, but for JSON lines
		r.add(headingsOf(r.file))
	}
	for len(r.bad) == 0 || r.row > 0 {
		chunk, err := r.file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return inFile(err, r.name)
		}
		in := min(max(r.skip-r.row, 0), chunk.Rows)
		r.row += in
		if in < chunk.Rows {
			r.add(chunk.Slice(in, chunk.Rows))
		}
		if len(r.bad) >= maxBadShown {
			break
		}
		if r.pending >= r.part {
			if err := r.send(ctx); err != nil {
				return err
			}
		}
	}
	if len(r.bad) > 0 {
		message := "bad rows; nothing of the file was imported (rows count from 0)"
		if r.bad[0].Row == nil {
			message = "bad columns; nothing of the file was imported"
		}
		return &feature.Error{Code: feature.CodeInvalid, Message: message, Details: r.bad[:min(len(r.bad), maxBadShown)]}
	}
	return r.send(ctx)
}

// add passes rows through the gate.
func (r *reading) add(chunk *feature.Batch) {
	for _, d := range r.builder.AddBatch(chunk) {
		if d.Row != nil {
			at := r.row + *d.Row
			d.Row = &at
		}
		d.File = r.name
		r.bad = append(r.bad, d)
	}
	r.row += chunk.Rows
	r.pending += chunk.Rows
}

// send passes on what has come together.
func (r *reading) send(ctx context.Context) error {
	if r.pending == 0 || len(r.bad) > 0 {
		return nil
	}
	r.pending = 0
	select {
	case r.parts <- r.builder.Batch():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
