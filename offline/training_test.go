package offline_test

import (
	"errors"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/offline"
)

func each(batches ...*feature.Batch) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		for _, b := range batches {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// train makes a training set and returns all of it as one batch.
func train(t *testing.T, s *offline.Store, ask offline.Training) (*offline.TrainingSet, *feature.Batch) {
	t.Helper()
	set, err := s.Train(t.Context(), ask)
	if err != nil {
		t.Fatalf("Train: %v", err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	all := &feature.Batch{Fields: set.Fields, Columns: make([]feature.Column, len(set.Fields))}
	for i, f := range set.Fields {
		all.Columns[i].Type = f.Type
	}
	for b, err := range set.Batches(t.Context()) {
		if err != nil {
			t.Fatalf("Batches: %v", err)
		}
		all.AppendBatch(b)
	}
	return set, all
}

// spineBatch makes a spine of keys and times with a label, a list and a name that looks like one of ours.
func (r draw) spineBatch(plan *feature.Plan, n int) (*feature.Batch, []oracle.SpineRow) {
	b := &feature.Batch{Fields: append(append([]feature.Field{}, plan.Keys...), feature.Field{Name: "ts", Type: feature.Timestamp},
		feature.Field{Name: "_rid", Type: feature.Bool}, feature.Field{Name: "c0", Type: feature.ListOf(feature.KindFloat64)},
		feature.Field{Name: "label", Type: feature.Float64})}
	b.Columns = make([]feature.Column, len(b.Fields))
	for i, f := range b.Fields {
		b.Columns[i].Type = f.Type
	}
	keys := r.keys(plan, n)
	var rows []oracle.SpineRow
	for i := range n {
		row := oracle.SpineRow{At: r.time(bases[r.IntN(len(bases))]) + 5}
		var values []feature.Value
		for k := range keys {
			values = append(values, keys[k][i])
		}
		row.Keys = values[:len(values):len(values)]
		values = append(values, feature.TimestampValue(row.At), r.orNull(feature.BoolValue(true)),
			r.orNull(feature.ListValue(feature.KindFloat64, []feature.Value{feature.Float64Value(0.5)})), r.orNull(feature.Float64Value(float64(i))))
		b.Append(values)
		rows = append(rows, row)
		if i%7 == 0 {
			b.Append(values)
			rows = append(rows, row)
		}
	}
	return b, rows
}

// newStream fills a world with pushes alone, from seq on, so that no two events have equal positions.
func newStream(t testing.TB, r draw, cfg offline.Config, seq uint64) *world {
	w := newWorldIn(t, openWith(t, cfg))
	w.seq = seq
	for _, base := range bases {
		w.push(t, base, r.batch(40, base), r.batch(3, base), r.batch(40, base+3))
		w.push(t, base+5, r.batch(10, base))
	}
	return w
}

func TestTrain(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(5, 6))}
	t.Run("imported", func(t *testing.T) { testTrain(t, r, newHistory(t, r)) })
	t.Run("streamed", func(t *testing.T) { testTrain(t, r, newStream(t, r, offline.Config{}, 0)) })
	t.Run("large", func(t *testing.T) { testTrain(t, r, newStream(t, r, offline.Config{JoinRows: 1, ChunkRows: 7}, 1<<63)) })
}

func testTrain(t *testing.T, r draw, w *world) {
	plan := newPlan(t, w.catalog, "model")
	spine, rows := r.spineBatch(plan, 400)
	for _, clock := range []feature.Clock{feature.ClockEvent, feature.ClockAvailable} {
		for _, back := range []uint64{0, 3} {
			cut := feature.Cut{Log: logID, Seq: w.seq - back}
			set, got := train(t, w.store, offline.Training{Plan: plan, Spine: each(spine.Slice(0, 100), spine.Slice(100, spine.Rows)), Clock: clock, Cut: cut})
			if set.Rows != uint64(spine.Rows) || got.Rows != spine.Rows {
				t.Fatalf("%d rows, %d stated, want %d", got.Rows, set.Rows, spine.Rows)
			}
			checkSet(t, w, plan, spine, rows, got, clock, cut)
		}
	}
}

func checkSet(t *testing.T, w *world, plan *feature.Plan, spine *feature.Batch, rows []oracle.SpineRow, got *feature.Batch, clock feature.Clock, cut feature.Cut) {
	t.Helper()
	cells, slack := w.oracle.Train(plan, rows, clock, oracle.Cut(cut.Seq))
	for i := range spine.Rows {
		row := got.Row(i)
		for c, want := range spine.Row(i) {
			if !row[c].Equal(want) {
				t.Fatalf("row %d: spine column %s = %v, want %v", i, spine.Fields[c].Name, row[c], want)
			}
		}
		for c, name := range plan.Names {
			at := i*len(plan.Names) + c
			if have, want := row[len(spine.Fields)+c], cells[at].Value; !near(have, want, slack[at]) {
				t.Fatalf("clock %v, row %d at %d: %s = %v, want %v", clock, i, int64(rows[i].At), name, have, want)
			}
		}
	}
}

func TestTrainKeysAll(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(7, 8))}
	w := newHistory(t, r)
	for _, name := range []string{"departures.price", "pairs.tie", "odds.a"} {
		plan, err := w.catalog.PlanFeatures([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, clock := range []feature.Clock{feature.ClockEvent, feature.ClockAvailable} {
			at := bases[1] + 1
			_, got := train(t, w.store, offline.Training{Plan: plan, KeysAll: true, At: at, Clock: clock})
			want := w.oracle.Keys(plan, at, clock, oracle.Cut(w.seq))
			var rows []oracle.SpineRow
			spine := &feature.Batch{Fields: got.Fields[:len(plan.Keys)+1], Columns: make([]feature.Column, len(plan.Keys)+1)}
			for i, f := range spine.Fields {
				spine.Columns[i].Type = f.Type
			}
			for _, k := range want {
				rows = append(rows, oracle.SpineRow{Keys: k, At: at})
				spine.Append(append(append([]feature.Value{}, k...), feature.TimestampValue(at)))
			}
			if got.Rows != len(want) || len(want) == 0 {
				t.Fatalf("%s: %d keys, want %d", name, got.Rows, len(want))
			}
			checkSet(t, w, plan, spine, rows, got, clock, w.cut())
		}
	}
}

func TestTrainSQL(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(9, 10))}
	w := newHistory(t, r)
	plan, err := w.catalog.PlanFeatures([]string{"departures.price", "departures.stops"})
	if err != nil {
		t.Fatal(err)
	}
	_, got := train(t, w.store, offline.Training{Plan: plan, Keys: map[string]string{"airport": "c1"}, SQL: `
		SELECT at AS ts, toLowCardinality(origin) AS c1, toInt8(a = 1) AS c0, toFloat32(inf) AS f, toDate('1969-12-31') IS NULL AS "x` + "`" + `y",
			toDate32('1969-12-31') AS d, toDateTime64('1969-12-31 23:59:59.999999999', 9, 'UTC') AS nano, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS id,
			stops, [toUInt8(1)] AS l, [at] AS ats, tie = 0 AND gone AS flag, CAST('b', 'Enum8(\'a\' = 1, \'b\' = 2)') AS en
		FROM events_trips WHERE c0 >= 0 ORDER BY at DESC, _seq, _idx -- done`})
	if got.Rows == 0 {
		t.Fatal("no rows")
	}
	var rows []oracle.SpineRow
	last := feature.MaxTime
	for i := range got.Rows {
		at := got.Column("ts").Value(i).Time()
		if at > last {
			t.Fatalf("row %d is out of order", i)
		}
		last = at
		rows = append(rows, oracle.SpineRow{Keys: []feature.Value{got.Column("c1").Value(i)}, At: at})
	}
	spine := &feature.Batch{Fields: got.Fields[:13], Columns: got.Columns[:13], Rows: got.Rows}
	checkSet(t, w, plan, spine, rows, got, feature.ClockEvent, w.cut())
	for name, want := range map[string]string{"d": "1969-12-31T00:00:00Z", "nano": "1969-12-31T23:59:59.999999Z", "f": "NULL", "l": "[1]", "en": `"b"`, "id": `"61f0c404-5cb3-11e7-907b-a6006ad3dba0"`} {
		if have := got.Column(name).Value(0).String(); have != want {
			t.Errorf("%s = %s, want %s", name, have, want)
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan, err := w.catalog.PlanFeatures([]string{"pairs.tie", "departures.price"})
	if err != nil {
		t.Fatal(err)
	}
	fields := func(names ...string) *feature.Batch {
		b := &feature.Batch{}
		for _, n := range names {
			name, typ, _ := strings.Cut(n, ":")
			parsed, err := feature.ParseType(typ)
			if err != nil {
				t.Fatal(err)
			}
			b.Fields = append(b.Fields, feature.Field{Name: name, Type: parsed})
			b.Columns = append(b.Columns, feature.Column{Type: parsed})
		}
		return b
	}
	row := func(b *feature.Batch, values ...feature.Value) *feature.Batch { b.Append(values); return b }
	str, num := feature.StringValue, feature.Int64Value
	for name, tc := range map[string]struct {
		ask  offline.Training
		want string
	}{
		"no spine":   {offline.Training{}, "needs one spine"},
		"two spines": {offline.Training{SQL: "SELECT 1", KeysAll: true}, "needs one spine"},
		"no time":    {offline.Training{Spine: each(fields("x:int64", "y:int64", "airport:string"))}, "needs a time"},
		"two times":  {offline.Training{Spine: each(fields("ts:timestamp", "time:timestamp", "x:int64", "y:int64", "airport:string"))}, "needs a time"},
		"no key":     {offline.Training{Spine: each(fields("ts:timestamp", "x:int64", "airport:string"))}, "y: the spine has no such column for key y"},
		"feature":    {offline.Training{Spine: each(fields("ts:timestamp", "x:int64", "y:int64", "airport:string", "pairs.tie:int64"))}, "pairs.tie: the spine has a column with the name of a feature"},
		"twice":      {offline.Training{Spine: each(fields("ts:timestamp", "x:int64", "y:int64", "airport:string", "x:int64"))}, "two columns of this name"},
		"unknown":    {offline.Training{Keys: map[string]string{"z": "x"}, Spine: each(fields("ts:timestamp"))}, `there is no key "z"`},
		"null time":  {offline.Training{Spine: each(row(fields("ts:timestamp", "x:int64", "y:int64", "airport:string"), feature.Value{}, num(1), num(1), str("")))}, "row 0: ts: the time of a spine row must not be NULL"},
		"bad time":   {offline.Training{Spine: each(row(fields("ts:string", "x:int64", "y:int64", "airport:string"), str("soon"), num(1), num(1), str("")))}, `row 0: ts: cannot read "soon"`},
		"bad key":    {offline.Training{Spine: each(row(fields("ts:string", "x:string", "y:int64", "airport:string"), str("2001-01-01"), str("1.5"), num(1), str("")))}, "row 0: x: cannot take"},
		"sql syntax": {offline.Training{SQL: "SELEC 1"}, "ClickHouse does not take the SQL"},
		"sql write":  {offline.Training{SQL: "DROP TABLE events_trips"}, "ClickHouse does not take the SQL"},
		"sql break":  {offline.Training{SQL: "SELECT 1); DROP TABLE events_trips; SELECT (1"}, "ClickHouse does not take the SQL"},
		"sql file":   {offline.Training{SQL: "SELECT * FROM file('/etc/passwd', 'LineAsString')"}, "the table function"},
		"sql url":    {offline.Training{SQL: "SELECT * FROM url('http://localhost:1/', 'LineAsString', 'a String')"}, "the table function"},
		"sql type":   {offline.Training{SQL: "SELECT now() AS ts, map('a', 1) AS m"}, "m: no type of ours holds Map"},
		"sql key":    {offline.Training{SQL: "SELECT now() AS ts, '1' AS x, 1 AS y, 'a' AS airport"}, "x: key x must be int64, not string"},
		"sql null":   {offline.Training{SQL: "SELECT if(number = 2, NULL, now()) AS ts, 1 AS x, 1 AS y, 'a' AS airport FROM numbers(5)"}, "row 2: ts: the time of a spine row must not be NULL"},
		"sql fails":  {offline.Training{SQL: "SELECT now() AS ts, 1 AS x, throwIf(number = 3, 'too bad') AS y, 'a' AS airport FROM numbers(5)"}, "too bad"},
		"all keys":   {offline.Training{KeysAll: true}, "all keys are those of one entity"},
		"later cut":  {offline.Training{KeysAll: true, Cut: feature.Cut{Log: logID, Seq: 99}}, "not yet up to 99"},
	} {
		tc.ask.Plan = plan
		_, err := w.store.Train(t.Context(), tc.ask)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Train = %v, want an error with %q", name, err, tc.want)
		}
		if want := feature.ErrInvalid; name != "later cut" && !errors.Is(err, want) {
			t.Errorf("%s: code %s, want %s", name, feature.CodeOf(err), want.Code)
		}
		if err != nil && strings.Contains(err.Error(), "version 26") {
			t.Errorf("%s: the error tells internals: %v", name, err)
		}
	}
	if stats, err := w.store.Stats(t.Context()); err != nil || len(stats) != 1 {
		t.Errorf("Stats = %v, %v, want the one event table", stats, err)
	}
}

func TestTrainEmpty(t *testing.T) {
	t.Parallel()
	store, plan := openStore(t), newPlan(t, newCatalog(), "model")
	r := draw{rand.New(rand.NewPCG(11, 12))}
	spine, _ := r.spineBatch(plan, 10)
	_, got := train(t, store, offline.Training{Plan: plan, Spine: each(spine)}) // no event table at all
	if got.Rows != spine.Rows {
		t.Fatalf("%d rows, want %d", got.Rows, spine.Rows)
	}
	if diff := cmp.Diff("-1", got.Column("departures.price").Value(0).String()); diff != "" {
		t.Errorf("default differs (-want +got):\n%s", diff)
	}
	_, got = train(t, store, offline.Training{Plan: plan, Fields: spine.Fields, Spine: each()})
	if got.Rows != 0 || len(got.Fields) != len(spine.Fields)+len(plan.Names) {
		t.Errorf("an empty spine gives %d rows of %d columns", got.Rows, len(got.Fields))
	}
}
