package offline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/offline"
)

func TestMain(m *testing.M) { chtest.Main(m) }

// openStore opens a store in a database of its own on the test binary's engine.
func openStore(t testing.TB) *offline.Store {
	t.Helper()
	return openWith(t, offline.Config{})
}

func openWith(t testing.TB, cfg offline.Config) *offline.Store {
	t.Helper()
	engine := chtest.Engine(t)
	cfg.Dial, cfg.Database = engine.DialContext, chtest.Database(t, engine)
	s, err := offline.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return s
}

// trips is a source with a column of every type and everything a source may declare.
var trips = &feature.Source{
	Name: "trips", EventTime: "at", AvailableAt: "seen", Tiebreak: "tie", Deleted: "gone", MaxFuture: feature.Hour,
	Columns: []feature.Field{
		{Name: "origin", Type: feature.String},
		{Name: "at", Type: feature.Timestamp},
		{Name: "seen", Type: feature.Timestamp},
		{Name: "tie", Type: feature.Int64},
		{Name: "gone", Type: feature.Bool},
		{Name: "a", Type: feature.Int64},
		{Name: "b", Type: feature.Int64},
		{Name: "day", Type: feature.Timestamp},
		{Name: "late", Type: feature.Bool},
		{Name: "price", Type: feature.Float64},
		{Name: "stops", Type: feature.ListOf(feature.KindString)},
		{Name: "times", Type: feature.ListOf(feature.KindTimestamp)},
		{Name: "flags", Type: feature.ListOf(feature.KindBool)},
		{Name: "note", Type: feature.String},
	},
}

func newCatalog() *feature.Catalog {
	airport := feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}}}
	pair := feature.Entity{Name: "pair", Key: []feature.Field{{Name: "x", Type: feature.Int64}, {Name: "y", Type: feature.Int64}}}
	odd := feature.Entity{Name: "odd", Key: []feature.Field{{Name: "day", Type: feature.Timestamp}, {Name: "late", Type: feature.Bool}}}
	departures := &feature.View{
		Name: "departures", Version: 1, Entity: airport, Keys: []string{"origin"}, Source: "trips", History: 10,
		Features: []feature.Feature{
			{Name: "price", Latest: "price", Type: feature.Float64, TTL: 5, Default: feature.Float64Value(-1)},
			{Name: "stops", Latest: "stops", Type: feature.ListOf(feature.KindString)},
			{Name: "note", Latest: "note", Type: feature.String, TTL: 3},
			{Name: "price_ever", Latest: "price", Type: feature.Float64},
		},
	}
	pairs := &feature.View{
		Name: "pairs", Version: 2, Entity: pair, Keys: []string{"a", "b"}, Source: "trips", Delay: 2, History: 3,
		Features: []feature.Feature{
			{Name: "late", Latest: "late", Type: feature.Bool},
			{Name: "seen", Latest: "seen", Type: feature.Timestamp},
			{Name: "tie", Latest: "tie", Type: feature.Int64},
			{Name: "at", Latest: "at", Type: feature.Timestamp},
			{Name: "times", Latest: "times", Type: feature.ListOf(feature.KindTimestamp)},
			{Name: "flags", Latest: "flags", Type: feature.ListOf(feature.KindBool)},
		},
	}
	odds := &feature.View{
		Name: "odds", Version: 1, Entity: odd, Keys: []string{"day", "late"}, Source: "trips", History: 0,
		Features: []feature.Feature{{Name: "a", Latest: "a", Type: feature.Int64, TTL: 4}},
	}
	return &feature.Catalog{
		Entities: []*feature.Entity{&airport, &pair, &odd}, Sources: []*feature.Source{trips}, Views: []*feature.View{departures, pairs, odds},
		Services: []*feature.Service{{Name: "model", Version: 1, Items: []feature.Item{
			{View: departures, Role: "departures", Keys: []string{"airport"}, Features: []int{0, 1, 2}},
			{View: pairs, Role: "pairs", Keys: []string{"x", "y"}, Features: []int{0, 1, 2, 3, 4, 5}},
			{View: departures, Role: "dest", Keys: []string{"destination"}, Features: []int{3, 0}},
			{View: odds, Role: "odds", Keys: []string{"day", "late"}, Features: []int{0}},
		}}},
	}
}

func newPlan(t testing.TB, c *feature.Catalog, service string) *feature.Plan {
	t.Helper()
	p, err := c.PlanService(service)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// draw makes values from small domains, so that keys, times and positions are often equal.
type draw struct{ *rand.Rand }

func (r draw) orNull(v feature.Value) feature.Value {
	if r.IntN(6) == 0 {
		return feature.Value{}
	}
	return v
}

// bases are the instants around which everything happens; those at the edges of valid time only have room on one side.
var bases = []feature.Time{feature.MinTime + 20, -10, 1_000_000_000_000_000, feature.MaxTime - 30}

func (r draw) time(base feature.Time) feature.Time { return base + feature.Time(r.IntN(20)-10) }

func (r draw) row(base feature.Time) []feature.Value {
	pick := func(vs ...feature.Value) feature.Value { return r.orNull(vs[r.IntN(len(vs))]) }
	str, num, ts := feature.StringValue, feature.Int64Value, feature.TimestampValue
	return []feature.Value{
		pick(str(""), str("JFK"), str("it's `a` \\ \x00\n?")), ts(r.time(base)), pick(ts(r.time(base)), ts(r.time(base)+9)), pick(num(-1), num(0), num(1)),
		feature.BoolValue(r.IntN(8) == 0), pick(num(1), num(11), num(-1<<63)), pick(num(1), num(11), num(1<<63-1)),
		pick(ts(feature.MinTime), ts(-1), ts(feature.MaxTime)), pick(feature.BoolValue(true), feature.BoolValue(false)),
		pick(feature.Float64Value(0.1), feature.Float64Value(-1e300)),
		pick(feature.ListValue(feature.KindString, nil), feature.ListValue(feature.KindString, []feature.Value{str(""), str("x'")})),
		pick(feature.ListValue(feature.KindTimestamp, []feature.Value{ts(-1), ts(feature.MaxTime)})),
		pick(feature.ListValue(feature.KindBool, []feature.Value{feature.BoolValue(true), feature.BoolValue(false)})),
		pick(str("n"), str("")),
	}
}

func (r draw) batch(n int, base feature.Time) *feature.Batch {
	b := feature.NewBatch(trips)
	for range n {
		b.Append(r.row(base))
		if r.IntN(5) == 0 {
			b.Append(b.Row(b.Rows - 1)) // a twin
		}
	}
	return b
}

// world is a store and an oracle that were told the same things.
type world struct {
	store   *offline.Store
	oracle  *oracle.Oracle
	catalog *feature.Catalog
	seq     uint64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, openStore(t))
}

func newWorldIn(t testing.TB, store *offline.Store) *world {
	t.Helper()
	w := &world{store: store, catalog: newCatalog()}
	w.oracle = oracle.New(w.catalog)
	for _, src := range w.catalog.Sources {
		if err := w.store.Ensure(t.Context(), src); err != nil {
			t.Fatalf("ensure %s: %v", src.Name, err)
		}
	}
	if err := w.store.Follow(t.Context(), logID, 0); err != nil {
		t.Fatalf("follow the log: %v", err)
	}
	return w
}

const logID = "log-1"

func (w *world) cut() feature.Cut { return feature.Cut{Log: logID, Seq: w.seq} }

func (w *world) push(t testing.TB, taken feature.Time, batches ...*feature.Batch) {
	t.Helper()
	var entries []offline.Entry
	for _, b := range batches {
		w.seq++
		entries = append(entries, offline.Entry{Seq: w.seq, Taken: taken, Batch: b})
		w.oracle.Push(b, w.seq, taken)
	}
	if err := w.store.Append(t.Context(), logID, entries); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// load imports rows as one generation and lets the log name it.
func (w *world) load(t testing.TB, b *feature.Batch) uint64 {
	t.Helper()
	gen := importBatch(t, w.store, b)
	w.seq++
	err := w.store.Append(t.Context(), logID, []offline.Entry{{Seq: w.seq, Import: &offline.ImportRecord{Source: b.Source, Generation: gen}}})
	if err != nil {
		t.Fatalf("append the record of an import: %v", err)
	}
	w.oracle.Import(b, w.seq)
	return gen
}

func importBatch(t testing.TB, s *offline.Store, b *feature.Batch) uint64 {
	t.Helper()
	gen, err := beginImport(t.Context(), s, b)
	if err != nil {
		t.Fatalf("import: %v", err)
	}
	if err := s.FinishImport(t.Context(), trips, gen); err != nil {
		t.Fatalf("finish an import: %v", err)
	}
	return gen.Generation
}

// beginImport imports rows in two parts, the second of which is cut off once and comes again.
func beginImport(ctx context.Context, s *offline.Store, b *feature.Batch) (*feature.Imported, error) {
	im, err := s.BeginImport(ctx, trips, feature.File{Name: "file", Hash: "hash"}, false)
	if err != nil {
		return nil, err
	}
	half := b.Rows / 2
	err = s.InsertImport(ctx, trips, im, b.Slice(0, half))
	cut := *im
	return im, errors.Join(err,
		s.InsertImport(ctx, trips, &cut, b.Slice(half, b.Rows)),
		s.ResumeImport(ctx, trips, im),
		s.InsertImport(ctx, trips, im, b.Slice(half, b.Rows)))
}
