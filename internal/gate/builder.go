package gate

import (
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// MaxRowBytes is the size of the largest JSON row that is taken; a packed row must fit a message of the log.
const MaxRowBytes = 256 << 10

// Builder turns rows from outside into a batch of a source's events. It takes a row or it says everything that
// is wrong with it; what it took is valid under rules T1, V1 and V2. A Builder is for one goroutine.
type Builder struct {
	src     *feature.Source
	latest  feature.Time // the latest event time that may be taken
	arrival feature.Time
	names   map[string]int
	guess   []int // by place in a JSON row: the column that was there in the last row
	event   int   // index of the event time column
	id      []int // indexes of the columns of the id (rule E1)
	scan    rowjson.Scanner
	row     []feature.Value
	seen    []int // by column: the number of the last row that had it
	rows    int   // rows offered so far
	details []feature.Detail
	batch   *feature.Batch
	hint    int // rows to make room for in the next batch
}

// NewBuilder returns a Builder for events of src that arrive now, at arrival. The event time column of src
// must exist, as the registry sees to.
func NewBuilder(src *feature.Source, arrival feature.Time) *Builder {
	b := &Builder{
		src: src, arrival: arrival, latest: arrival.Add(src.MaxFuture),
		names: make(map[string]int, len(src.Columns)),
		guess: make([]int, len(src.Columns)),
		event: feature.FieldIndex(src.Columns, src.EventTime),
		row:   make([]feature.Value, len(src.Columns)),
		seen:  make([]int, len(src.Columns)),
	}
	for i, f := range src.Columns {
		b.names[f.Name], b.guess[i] = i, i
	}
	if b.event < 0 {
		panic("gate: source " + src.Name + " has no column " + src.EventTime + " for its event time")
	}
	for _, column := range src.ID {
		b.id = append(b.id, b.names[column])
	}
	return b
}

// AddJSON takes one row, a JSON object of columns; it keeps nothing of raw. A column that is not there is
// NULL. The error is a *feature.Error with CodeInvalid and a Detail, without a row number, for each thing
// wrong; then nothing was taken.
func (b *Builder) AddJSON(raw []byte) error {
	if details := b.add(raw); len(details) > 0 {
		e := feature.Errorf(feature.CodeInvalid, "refused a row of source %s", b.src.Name)
		e.Details = append(e.Details, details...)
		return e
	}
	return nil
}

// add is AddJSON that returns the details in memory of b, valid until the next row.
func (b *Builder) add(raw []byte) []feature.Detail {
	b.details = b.details[:0]
	if len(raw) > MaxRowBytes {
		b.refuse("", fmt.Errorf("the row has %d bytes; at most %d are taken", len(raw), MaxRowBytes))
		return b.details
	}
	b.rows++
	clear(b.row)
	b.scan.Reset(raw)
	for member := 0; b.scan.Next(); member++ {
		b.member(member)
	}
	if err := b.scan.Err(); err != nil {
		b.details = b.details[:0]
		b.refuse("", err)
		return b.details
	}
	if b.row[b.event].IsNull() && !b.mentions(b.src.EventTime) {
		b.refuse(b.src.EventTime, errNoEventTime)
	}
	for _, i := range b.id {
		if name := b.src.Columns[i].Name; b.row[i].IsNull() && !b.mentions(name) {
			b.refuse(name, errNoID)
		}
	}
	if len(b.details) > 0 {
		return b.details
	}
	if err := b.checkFuture(b.row[b.event].Time()); err != nil {
		b.refuse(b.src.EventTime, err)
		return b.details
	}
	b.current(1).Append(b.row)
	return nil
}

// member takes the member that the scanner stands at, the place-th of the row.
func (b *Builder) member(place int) {
	key := b.scan.Key()
	col := -1
	if place < len(b.guess) {
		col = b.guess[place]
	}
	if col < 0 || b.src.Columns[col].Name != string(key) {
		var ok bool
		if col, ok = b.names[string(key)]; !ok {
			b.refuse(string(key), unknownColumn(b.src))
			return
		}
		if place < len(b.guess) {
			b.guess[place] = col
		}
	}
	if b.seen[col] == b.rows {
		b.refuse(string(key), fmt.Errorf("the row has it twice"))
		return
	}
	b.seen[col] = b.rows
	v, err := b.scan.Value().Value(b.src.Columns[col].Type)
	if err != nil {
		b.refuse(string(key), err)
		return
	}
	b.row[col] = v
}

// maxDetails is how many things wrong are told of one request.
const maxDetails = 100

func (b *Builder) refuse(field string, err error) {
	if len(b.details) < maxDetails {
		b.details = append(b.details, feature.Detail{Field: field, Message: err.Error()})
	}
}

// mentions reports whether something was already said about the field.
func (b *Builder) mentions(field string) bool {
	for _, d := range b.details {
		if d.Field == field {
			return true
		}
	}
	return false
}

func unknownColumn(src *feature.Source) error {
	names := make([]string, len(src.Columns))
	for i, f := range src.Columns {
		names[i] = f.Name
	}
	return fmt.Errorf("source %s has no such column: expected one of %s", src.Name, strings.Join(names, ", "))
}

func (b *Builder) checkFuture(at feature.Time) error {
	if at <= b.latest {
		return nil
	}
	return fmt.Errorf("the event time %s is more than %s after the arrival of the row at %s", at, b.src.MaxFuture, b.arrival)
}

// current returns the batch that rows go into; it makes room for n rows at first.
func (b *Builder) current(n int) *feature.Batch {
	if b.batch == nil {
		b.batch = feature.NewBatch(b.src)
		for i := range b.batch.Columns {
			reserve(&b.batch.Columns[i], max(n, b.hint))
		}
	}
	return b.batch
}

func reserve(c *feature.Column, n int) {
	switch {
	case c.Type.List:
		c.Lists = make([][]feature.Value, 0, n)
	case c.Type.Kind == feature.KindFloat64:
		c.Floats = make([]float64, 0, n)
	case c.Type.Kind == feature.KindString:
		c.Strs = make([]string, 0, n)
	default:
		c.Ints = make([]int64, 0, n)
	}
}

// Rows returns how many rows the next Batch will have.
func (b *Builder) Rows() int {
	if b.batch == nil {
		return 0
	}
	return b.batch.Rows
}

// Batch returns the rows taken since the last call, in their order, and begins anew. The batch is the
// caller's; its columns are those of the source.
func (b *Builder) Batch() *feature.Batch {
	out := b.current(0)
	b.hint = out.Rows
	b.batch = nil
	return out
}
