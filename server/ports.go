package server

import (
	"context"
	"encoding/json"
	"io"
	"iter"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Reader answers reads.
type Reader interface {
	// Lookup answers l on the path asked for; PathAuto leaves the choice to the Reader (rule C5). l may have no
	// rows. The server reads the answer before the request ends and does not change it.
	Lookup(ctx context.Context, l *feature.Lookup, path feature.Path) (*feature.Answer, error)
	// Asked returns rows of a source that a read brings, each perhaps not JSON, converted as those of a push are (rule D4).
	// Bad rows are an Error with CodeInvalid and a Detail for each, which is the caller's.
	Asked(source string, rows []json.RawMessage) (*feature.Batch, error)
}

// Trainer makes training sets.
type Trainer interface {
	// Train begins a training set: it finds everything out that is wrong with the request. When it returns
	// without an error, the server calls Write of the result exactly once.
	Train(ctx context.Context, t *Training) (*TrainingSet, error)
}

// Training asks for a training set.
type Training struct {
	Plan   *feature.Plan
	Spine  Spine
	Time   string            // the spine's time column; "" to find it
	Keys   map[string]string // for a key name the spine column that holds it, where they differ
	Clock  feature.Clock
	Cut    *feature.Cut // what the history held then (rule G2), its Log "" if the caller did not say; nil for now
	Format string       // one of api.Formats
}

// Spine says where the rows of a training set come from. Exactly one of File, SQL and KeysAll is set.
type Spine struct {
	File    string       // path of a file that belongs to the server and is gone after Write
	Format  string       // of File: one of api.Formats
	SQL     string       // a query; it was checked that queries are allowed, nothing else
	KeysAll string       // name of an entity that exists
	At      feature.Time // with KeysAll the time of every row
}

// TrainingSet is a training set that is ready to be written.
type TrainingSet struct {
	Fields []feature.Field   // its columns in order
	Meta   map[string]string // its metadata (rule G2)
	// Write writes the whole file in the format asked for. When w fails, Write returns that error; after an
	// error the caller never sees the file as whole.
	Write func(w io.Writer) error
}

// Pusher takes events.
type Pusher interface {
	// Push returns when the log has the accepted rows on disk. Unless p.Partial, a refused row makes it accept
	// none; refused rows may come as an Error with CodeInvalid and a Detail for each, or in Refused of the
	// response. The server makes a 400 of both.
	Push(ctx context.Context, p *Push) (*api.PushResponse, error)
}

// Push is some rows of one source.
type Push struct {
	Source         string            // it exists
	Rows           []json.RawMessage // one a row, perhaps not JSON; valid during the call
	Partial        bool
	IdempotencyKey string // "" for none; the server itself answers repetitions that it remembers
}

// Importer takes files into the history of a source.
type Importer interface {
	// Import returns when the log records the import. progress may be called from any goroutine until then.
	Import(ctx context.Context, im *Import, progress func(api.Progress)) (*api.ImportResult, error)
}

// Import is a file for the history of one source.
type Import struct {
	Source  *feature.Source
	File    string // path of a file that belongs to the server and is gone after the call
	Format  string // one of api.Formats
	Name    string // what the client calls the file
	Replace bool   // rule E2
}

// Registry describes, compares and applies definitions. What Plan, Apply and Rollback return is encoded with encoding/json.
type Registry interface {
	// Describe describes the name, or everything that is registered when it is "".
	Describe(name string) ([]api.Definition, error)
	// Plan says what Apply would change.
	Plan(ctx context.Context, r *api.RegistryRequest) (any, error)
	// Apply makes the change and says what it was.
	Apply(ctx context.Context, r *api.RegistryRequest) (any, error)
	// Rollback makes an earlier version of a service, NAME or NAME@VERSION, its newest and says what it was.
	Rollback(ctx context.Context, service string) (any, error)
}

// Operator says how the process is.
type Operator interface {
	Status(ctx context.Context) (*api.Status, error)
}

// Letters keeps the rows that the gate refused.
type Letters interface {
	// DeadLetters returns at most q.Limit letters in order of their sequence.
	DeadLetters(ctx context.Context, q api.DeadLetterQuery) ([]api.DeadLetter, error)
	// DeadLetter returns one, or CodeNotFound.
	DeadLetter(ctx context.Context, seq uint64) (*api.DeadLetter, error)
	// ReplayLetters returns when the log has what is taken. progress may be called from any goroutine until then.
	ReplayLetters(ctx context.Context, r *Replay, progress func(api.Progress)) (*api.ReplayResult, error)
}

// Replay asks to let dead letters come to the gate again.
type Replay struct {
	Letters []uint64            // these; those that Query selects when there are none
	Query   api.DeadLetterQuery // without a limit
	DryRun  bool
}

// Eraser takes keys of entities out of existence.
type Eraser interface {
	// Erase returns when the keys are gone. progress may be called from any goroutine until then.
	Erase(ctx context.Context, e *Erasure, progress func(api.Progress)) (*api.EraseResult, error)
}

// Erasure names keys of an entity.
type Erasure struct {
	Entity *feature.Entity
	Keys   []feature.Key // at least one, none with a NULL part
	DryRun bool
}

// Materializer moves what ClickHouse has to the replicas.
type Materializer interface {
	// Materialize returns when the replicas have it. progress may be called from any goroutine until then.
	Materialize(ctx context.Context, r *api.MaterializeRequest, progress func(api.Progress)) (*api.MaterializeResult, error)
}

// Verifier compares both paths.
type Verifier interface {
	// Verify returns a result when the comparison was made, also when values differ; Problem of the result then
	// says so. progress may be called from any goroutine until then.
	Verify(ctx context.Context, v *Verification, progress func(api.Progress)) (*api.VerifyResult, error)
	// Explain says what both paths make of l, which has one row, and of which events.
	Explain(ctx context.Context, l *feature.Lookup) (*api.Explanation, error)
}

// Verification asks for a comparison.
type Verification struct {
	Plan   *feature.Plan
	At     []feature.Time // none: the Verifier chooses
	Sample int            // 0: the Verifier chooses
}

// Querier runs queries on the offline store as a user that may only read.
type Querier interface {
	Query(ctx context.Context, query string) (*Table, error)
}

// Table is the result of a query. The server ranges over Batches once, or not at all.
type Table struct {
	Fields  []feature.Field
	Batches iter.Seq2[*feature.Batch, error]
}
