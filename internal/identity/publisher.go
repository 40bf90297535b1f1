package identity

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Log is the part of the event log that a Publisher needs.
type Log interface {
	ID() string
	Bounds(ctx context.Context) (first, last uint64, err error)
	Tail(ctx context.Context, from uint64, fn func(eventlog.Entry) error) error
	// PublishNext appends the rows unless something of their source was appended behind the sequence after.
	PublishNext(ctx context.Context, b *feature.Batch, after uint64) ([]eventlog.Part, error)
	// LastOf returns the sequence behind which PublishNext appends rows of the source.
	LastOf(ctx context.Context, source string) (uint64, error)
}

// Past is what a Publisher asks the offline store for.
type Past interface {
	// Arrivals returns the events of a source that are visible at cut, or those of one generation of them.
	Arrivals(ctx context.Context, src *feature.Source, cut feature.Cut, generation uint64) iter.Seq2[*feature.Arrivals, error]
	// Copies returns how many rows of a generation are none because they are copies, and how many of these differ.
	Copies(ctx context.Context, source string, generation uint64) (duplicates, conflicts int64, err error)
	// Wait returns when the offline store covers seq.
	Wait(ctx context.Context, seq uint64) error
	// Watermark returns the cut that the offline store covers; its Log is "" when that is not known yet.
	Watermark() feature.Cut
}

// PublisherConfig configures a Publisher; every field is needed.
type PublisherConfig struct {
	Index   *Index
	Log     Log
	Past    Past
	Catalog func() *feature.Catalog
	Changed func() <-chan struct{} // a channel that is closed when Catalog will next return another catalog
	Logger  *slog.Logger
}

// Publisher brings rows of sources with an id into the log, each event once. Its methods are safe for concurrent use.
type Publisher struct {
	cfg    PublisherConfig
	beyond uint64 // the place to be at to have behind what cannot be read; of Run

	mu      sync.Mutex
	moved   chan struct{} // closed and replaced when the index moves or Run fails
	failure error
	epoch   int // how often the index began; what was known of the log before is no more
	sources map[string]*turn
}

// NewPublisher returns a Publisher that Run drives: without Run its Publish waits.
func NewPublisher(cfg PublisherConfig) *Publisher {
	return &Publisher{cfg: cfg, moved: make(chan struct{}), sources: map[string]*turn{}}
}

// turn is one source's place to publish, for one at a time.
type turn struct {
	token chan struct{} // capacity 1: whoever has put something in may publish

	mu      sync.Mutex
	waiting []*call

	own map[uint64]bool // sequences that the index's position has not reached and whose rows it knows

	// For whose turn it is: the index knew, in an epoch, all that the log had of the source up to after, its last.
	after uint64
	epoch int
}

// call is one Publish that waits.
type call struct {
	src   *feature.Source
	batch *feature.Batch
	done  bool // whose turn it is
	out   Receipt
	err   error
}

// Receipt says what became of a batch.
type Receipt struct {
	Seq    uint64         // whoever has applied the log up to it has all events of the batch, new ones and those that were there
	Taken  int            // rows that are in the log now
	Copies []feature.Copy // the others, in order, with the places of the events that they are copies of
}

// Counts returns the numbers of copies.
func (r *Receipt) Counts() Counts {
	c := Counts{Duplicates: int64(len(r.Copies))}
	for i := range r.Copies {
		if r.Copies[i].Conflict {
			c.Conflicts++
		}
	}
	return c
}

// maxTogether is how many rows of several calls are published together.
const maxTogether = 10_000

// Publish brings the rows of the batch that are events into the log, all of them or none. It returns when the log
// has them. Callers at the same time share messages. It fails as eventlog.Log.Publish does, and with
// CodeUnavailable when ctx ends before the ids of the source are known here.
func (p *Publisher) Publish(ctx context.Context, src *feature.Source, b *feature.Batch) (Receipt, error) {
	t := p.turn(src.Name)
	c := &call{src: src, batch: b}
	t.mu.Lock()
	t.waiting = append(t.waiting, c)
	t.mu.Unlock()
	select {
	case t.token <- struct{}{}:
	case <-ctx.Done():
		if t.withdraw(c) {
			return Receipt{}, p.late(ctx, src)
		}
		t.token <- struct{}{} // whoever took it is about to finish it
	}
	defer func() { <-t.token }()
	for !c.done {
		if err := p.ready(ctx, src, t); err != nil {
			t.withdraw(c)
			return Receipt{}, err
		}
		p.publish(t)
	}
	return c.out, c.err
}

func (p *Publisher) turn(source string) *turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.sources[source]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1), own: map[uint64]bool{}}
		p.sources[source] = t
	}
	return t
}

// withdraw takes c out again; false if somebody has taken it.
func (t *turn) withdraw(c *call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.waiting {
		if t.waiting[i] == c {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// take returns the calls that wait, oldest first, as many as go together.
func (t *turn) take() []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, rows := 0, 0
	for _, c := range t.waiting {
		rows += c.batch.Rows
		if n > 0 && (rows > maxTogether || !sameFields(c.batch.Fields, t.waiting[0].batch.Fields)) {
			break
		}
		n++
	}
	calls := append([]*call(nil), t.waiting[:n]...)
	t.waiting = append(t.waiting[:0], t.waiting[n:]...)
	return calls
}

func sameFields(a, b []feature.Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// patience bounds how long calls wait for the index when somebody else published in between.
const patience = 30 * time.Second

// publish publishes some of the calls that wait. They share their fate, which is not that of any one caller.
func (p *Publisher) publish(t *turn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	calls := t.take()
	if len(calls) == 0 {
		return
	}
	all := calls[0].batch
	if len(calls) > 1 {
		all = &feature.Batch{Source: all.Source, Fields: all.Fields, Columns: make([]feature.Column, len(all.Columns))}
		for i, f := range all.Fields {
			all.Columns[i].Type = f.Type
		}
		for _, c := range calls {
			all.AppendBatch(c.batch)
		}
	}
	out, err := p.bring(ctx, t, calls[len(calls)-1].src, all)
	from, next := 0, 0
	for _, c := range calls {
		c.done, c.err = true, err
		if err != nil {
			continue
		}
		c.out = Receipt{Taken: c.batch.Rows}
		for ; next < len(out.copies) && out.copies[next].Row < from+c.batch.Rows; next++ {
			copied := out.copies[next]
			copied.Row -= from
			c.out.Seq = max(c.out.Seq, copied.Of.Seq)
			c.out.Copies = append(c.out.Copies, copied)
			c.out.Taken--
		}
		if c.out.Taken > 0 {
			c.out.Seq = max(c.out.Seq, out.seq)
		}
		from += c.batch.Rows
	}
}

// brought is what became of the rows of some calls.
type brought struct {
	seq    uint64 // of the last message, 0 if there is none
	copies []feature.Copy
}

// bring judges and publishes until nobody else has come in between.
func (p *Publisher) bring(ctx context.Context, t *turn, src *feature.Source, b *feature.Batch) (brought, error) {
	for {
		v, err := p.judge(ctx, t, src, b)
		if err != nil {
			return brought{}, err
		}
		var parts []eventlog.Part
		if v.Fresh.Rows > 0 {
			parts, err = p.cfg.Log.PublishNext(ctx, v.Fresh, t.after)
			if feature.CodeOf(err) == feature.CodeConflict {
				t.epoch = 0 // others have published
				continue
			}
			if err != nil {
				return brought{}, err
			}
		}
		return p.settle(t, src, v, parts)
	}
}

// judge judges by all that the log had of the source when it was last seen.
func (p *Publisher) judge(ctx context.Context, t *turn, src *feature.Source, b *feature.Batch) (*Verdict, error) {
	for {
		if err := p.ready(ctx, src, t); err != nil {
			return nil, err
		}
		v, err := p.cfg.Index.Judge(src, b)
		if err != nil {
			return nil, err
		}
		if t.epoch == p.begun() {
			v.epoch = t.epoch
			return v, nil
		}
	}
}

// Reserve judges a batch and keeps everybody of this process from publishing rows of the source until Done of the
// result is called, which must happen. What it does not refuse is to be published behind After; then nothing was
// published in between, by this process or by others.
func (p *Publisher) Reserve(ctx context.Context, src *feature.Source, b *feature.Batch) (*Reservation, error) {
	t := p.turn(src.Name)
	select {
	case t.token <- struct{}{}:
	case <-ctx.Done():
		return nil, p.late(ctx, src)
	}
	t.epoch = 0 // what others did is not told by a publish that fails
	v, err := p.judge(ctx, t, src, b)
	if err != nil {
		<-t.token
		return nil, err
	}
	return &Reservation{Fresh: v.Fresh, Copies: v.Copies, After: t.after, publisher: p, turn: t, src: src, verdict: v}, nil
}

// Reservation is a batch that was judged and is about to be published.
type Reservation struct {
	Fresh  *feature.Batch // to be published
	Copies []feature.Copy // not to be published
	After  uint64         // the last message of the source

	publisher *Publisher
	turn      *turn
	src       *feature.Source
	verdict   *Verdict
}

// Done ends the reservation: with the messages that hold Fresh, or with published false.
func (r *Reservation) Done(parts []eventlog.Part, published bool) error {
	defer func() { <-r.turn.token }()
	if !published {
		return nil
	}
	_, err := r.publisher.settle(r.turn, r.src, r.verdict, parts)
	return err
}

// settle notes what was published, before the log's tail brings it, and completes the verdict.
func (p *Publisher) settle(t *turn, src *feature.Source, v *Verdict, parts []eventlog.Part) (brought, error) {
	t.epoch = 0 // until it is noted
	places := make([]feature.Place, 0, v.Fresh.Rows)
	out := brought{copies: v.Copies}
	for _, part := range parts {
		for row := range part.Rows {
			places = append(places, feature.Place{Seq: part.Seq, Row: uint64(row)})
		}
		t.after, out.seq = part.Seq, part.Seq
	}
	for i, fresh := range v.originals {
		if fresh >= 0 {
			v.Copies[i].Of = places[fresh]
		}
	}
	if err := p.cfg.Index.confirm(src, v, func(i int) feature.Place { return places[i] }); err != nil {
		return brought{}, err
	}
	t.note(parts)
	t.epoch = v.epoch
	counts := (&Receipt{Copies: v.Copies}).Counts()
	return out, p.cfg.Index.Count(src.Name, counts)
}

// note remembers messages whose rows the index knows already.
func (t *turn) note(parts []eventlog.Part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, part := range parts {
		t.own[part.Seq] = true
	}
}

// forget reports whether the index knows the rows of the message at seq already. Nobody asks for it, or one before
// it, again.
func (t *turn) forget(seq uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.own[seq]
	maps.DeleteFunc(t.own, func(own uint64, _ bool) bool { return own <= seq })
	return known
}

// ready returns when the index knows what the log had of the source when it was last seen.
func (p *Publisher) ready(ctx context.Context, src *feature.Source, t *turn) error {
	if t.epoch > 0 && t.epoch == p.begun() {
		return nil
	}
	return p.catchUp(ctx, src, t)
}

// begun returns how often the index began.
func (p *Publisher) begun() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// catchUp returns when the index covers what the log has of the source.
func (p *Publisher) catchUp(ctx context.Context, src *feature.Source, t *turn) error {
	last, err := p.cfg.Log.LastOf(ctx, src.Name)
	if err != nil {
		return err
	}
	epoch, err := p.wait(ctx, src, last)
	if err != nil {
		return err
	}
	t.after, t.epoch = last, epoch
	return nil
}

// Wait returns when the index of this process knows the events of the source up to a sequence of the log: until then
// Publish waits for it.
func (p *Publisher) Wait(ctx context.Context, src *feature.Source, seq uint64) error {
	_, err := p.wait(ctx, src, seq)
	return err
}

func (p *Publisher) wait(ctx context.Context, src *feature.Source, seq uint64) (epoch int, err error) {
	for {
		p.mu.Lock()
		moved, epoch := p.moved, p.epoch
		p.mu.Unlock()
		at := p.cfg.Index.Position()
		if epoch > 0 && at.Log == p.cfg.Log.ID() && at.Seq >= seq && p.cfg.Index.Knows(src) {
			return epoch, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, p.late(ctx, src)
		}
	}
}

func (p *Publisher) late(ctx context.Context, src *feature.Source) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return feature.Errorf(feature.CodeUnavailable, "wait for the ids of source %s: %w", src.Name, cmp.Or(p.failure, ctx.Err()))
}

// Failure returns why the index does not move, or nil.
func (p *Publisher) Failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

func (p *Publisher) wake(failure error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = failure
	close(p.moved)
	p.moved = make(chan struct{})
}
