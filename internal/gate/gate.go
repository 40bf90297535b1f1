package gate

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/identity"
)

// Publisher takes rows for good.
type Publisher interface {
	// Publish appends all rows of the batches or none and returns when they are kept.
	Publish(ctx context.Context, batches ...*feature.Batch) (last uint64, err error)
}

// Refuser keeps refused rows.
type Refuser interface {
	// Refuse returns when the letters are kept.
	Refuse(ctx context.Context, letters ...eventlog.Letter) error
}

// Identifier takes rows of sources that declare an id, each event once (rule E1).
type Identifier interface {
	// Publish brings those rows that are events into the log, all or none, and returns when they are kept.
	Publish(ctx context.Context, src *feature.Source, b *feature.Batch) (identity.Receipt, error)
	// Reserve judges rows that somebody else is about to publish.
	Reserve(ctx context.Context, src *feature.Source, b *feature.Batch) (*identity.Reservation, error)
}

// Inbox is where other producers put rows as JSON.
type Inbox interface {
	// Inbox hands rows of one source at a time to handle and brings what it makes of them into the log, until
	// ctx ends or handle fails.
	Inbox(ctx context.Context, handle eventlog.InboxHandler) error
}

// Config configures a Gate. Catalog and Log are needed, Dead for Partial pushes, for sources with an id and for Run,
// Identity for sources with an id, Inbox for Run, Again for Replay.
type Config struct {
	Catalog  func() *feature.Catalog // the definitions in force; called for every push
	Log      Publisher
	Identity Identifier
	Dead     Refuser
	Inbox    Inbox
	Again    Replayer
	Now      func() time.Time // the arrival of rows; default time.Now
	Logger   *slog.Logger
}

// Gate takes rows of sources into the log. Its methods are safe for concurrent use.
type Gate struct{ cfg Config }

// New returns a Gate.
func New(cfg Config) *Gate {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Gate{cfg}
}

// Mode says what becomes of the good rows beside bad ones.
type Mode int

// The modes.
const (
	Atomic  Mode = iota // all rows are taken or none
	Partial             // good rows are taken, bad ones go to the dead letters
)

// Result says what became of rows.
type Result struct {
	Seq      uint64 // in the log, of the last row taken or that a copy is of; 0 if there is none
	Accepted int    // rows that the log has taken

	Duplicates int              // rows that were left out: they are copies of events that were there (rule E1)
	Conflicts  int              // those of them that differ from their event; they are dead letters now
	Differing  []feature.Detail // the first 100 of these conflicts, each with its row (or line)

	Rejected int              // rows that were refused; with Partial they are dead letters now
	Refused  []feature.Detail // why, each with its row (or line); of Push with Partial all, else the first 100
}

// Push takes rows, each a JSON object, of a source; it returns when the log keeps them. It fails with
// CodeNotFound for an unknown source and, when Atomic, with CodeInvalid and the first 100 details for bad
// rows; then nothing was taken. Errors of the log are passed on.
func (g *Gate) Push(ctx context.Context, source string, rows []json.RawMessage, mode Mode) (Result, error) {
	b, err := g.builder(source)
	if err != nil {
		return Result{}, err
	}
	p := &push{builder: b}
	out, letters := &p.out, &p.letters
	for i, raw := range rows {
		details := b.add(raw)
		if len(details) == 0 {
			p.keep(feature.Detail{Row: &i}, raw)
			continue
		}
		out.Rejected++
		for _, d := range details {
			if mode == Partial || len(out.Refused) < maxDetails {
				d.Row = &i
				out.Refused = append(out.Refused, d)
			}
		}
		if mode == Partial {
			*letters = append(*letters, letter(source, details, raw))
		}
	}
	if mode == Atomic && out.Rejected > 0 {
		return Result{}, refusedRows(source, *out, len(rows))
	}
	if err := g.commit(ctx, p); err != nil {
		return Result{}, err
	}
	return p.out, nil
}

// push is some rows on their way into the log.
type push struct {
	builder *Builder
	out     Result
	letters []eventlog.Letter
	kept    []keptRow // of a source with an id, the rows of builder
}

// keptRow is a row that may turn out to be in conflict.
type keptRow struct {
	at  feature.Detail // its place in what was pushed
	raw []byte
}

// keep remembers a row that the builder took, if it may be needed. raw must stay as it is until the commit.
func (p *push) keep(at feature.Detail, raw []byte) {
	if len(p.builder.src.ID) > 0 {
		p.kept = append(p.kept, keptRow{at, raw})
	}
}

// commit keeps the letters and then publishes the rows of the builder. In this order a failure in between leaves
// letters of rows that are pushed again, not rows that nobody knows to be in the log.
func (g *Gate) commit(ctx context.Context, p *push) error {
	if len(p.letters) > 0 {
		if err := g.cfg.Dead.Refuse(ctx, p.letters...); err != nil {
			return err
		}
	}
	if p.builder.Rows() == 0 {
		return nil
	}
	batch := p.builder.Batch()
	if src := p.builder.src; len(src.ID) > 0 {
		return g.commitOnce(ctx, p, src, batch)
	}
	seq, err := g.cfg.Log.Publish(ctx, batch)
	if err != nil {
		return err
	}
	p.out.Seq, p.out.Accepted = seq, p.out.Accepted+batch.Rows
	return nil
}

// commitOnce publishes rows of a source with an id. Whoever pushes again because the letters could not be kept has only
// copies.
func (g *Gate) commitOnce(ctx context.Context, p *push, src *feature.Source, batch *feature.Batch) error {
	r, err := g.cfg.Identity.Publish(ctx, src, batch)
	if err != nil {
		return err
	}
	p.out.Seq, p.out.Accepted = max(p.out.Seq, r.Seq), p.out.Accepted+r.Taken
	p.out.Duplicates += len(r.Copies)
	letters := p.conflicts(src, r.Copies)
	if len(letters) == 0 {
		return nil
	}
	return g.cfg.Dead.Refuse(ctx, letters...)
}

// conflicts counts the copies that differ from their event and returns letters of them.
func (p *push) conflicts(src *feature.Source, copies []feature.Copy) []eventlog.Letter {
	var letters []eventlog.Letter
	for _, c := range copies {
		if !c.Conflict {
			continue
		}
		p.out.Conflicts++
		d := p.kept[c.Row].at
		d.Message = c.Reason()
		if len(p.out.Differing) < maxDetails {
			p.out.Differing = append(p.out.Differing, d)
		}
		letters = append(letters, letter(src.Name, []feature.Detail{{Message: d.Message}}, p.kept[c.Row].raw))
	}
	return letters
}

// builder returns a Builder for rows of the source that arrive now.
func (g *Gate) builder(source string) (*Builder, error) {
	catalog := g.cfg.Catalog()
	src := catalog.Source(source)
	if src == nil {
		return nil, unknownSource(catalog, source)
	}
	arrival, err := feature.TimeOf(g.cfg.Now())
	if err != nil {
		return nil, feature.Errorf(feature.CodeInternal, "the clock of this machine is wrong: %w", err)
	}
	return NewBuilder(src, arrival), nil
}

func unknownSource(catalog *feature.Catalog, source string) error {
	if len(catalog.Sources) == 0 {
		return feature.Errorf(feature.CodeNotFound, "unknown source %q: there is none", source)
	}
	var known []string
	for _, s := range catalog.Sources {
		known = append(known, s.Name)
	}
	slices.Sort(known)
	return feature.Errorf(feature.CodeNotFound, "unknown source %q: expected one of %s", source, strings.Join(slices.Compact(known), ", "))
}

func refusedRows(source string, out Result, rows int) error {
	e := feature.Errorf(feature.CodeInvalid, "%d of %d rows of source %s are refused, so none was taken", out.Rejected, rows, source)
	e.Details = out.Refused
	return e
}

// letter makes a dead letter of a row and what is wrong with it. It copies raw.
func letter(source string, details []feature.Detail, raw []byte) eventlog.Letter {
	reasons := make([]string, len(details))
	for i, d := range details {
		d.Row = nil // its place in a request that is gone
		reasons[i] = d.String()
	}
	x := eventlog.Letter{Source: source, Reason: strings.Join(reasons, "; "), Raw: slices.Clone(raw)}
	if len(details) == 1 {
		x.Field, x.Reason = details[0].Field, details[0].Message
	}
	return x
}
