package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/verify"
)

const (
	hour  = feature.Span(3_600_000_000)
	clock = feature.Time(1_000_000_000_000_000)
	floor = clock - feature.Time(2*hour)
	seq   = 41
)

// world is both paths: the feature n of key k is k, and s is "x", in an event at the clock. What a test plants is told
// by the online path alone.
type world struct {
	keys    int64
	planted map[int64]feature.Cell // for n, by key
	empty   bool                   // n and s say nothing, on both paths
	unknown bool                   // the replica has seen no event
	online  error
	offline error
	short   bool     // the offline path answers too little
	waits   []uint64 // what the offline path was waited for
	reads   []int    // rows of each read online
}

func (w *world) cell(key int64, online bool) feature.Cell {
	c := feature.Cell{Value: feature.Int64Value(key), Status: feature.Present, EventTime: clock, HasTime: true}
	if w.empty {
		c = feature.Cell{Value: feature.Int64Value(0), Status: feature.Missing}
	}
	if p, ok := w.planted[key]; ok && online {
		c = p
	}
	return c
}

func (w *world) answer(l *feature.Lookup, online bool) *feature.Answer {
	a := &feature.Answer{Cut: feature.Cut{Log: "log", Seq: seq}}
	for _, key := range l.Keys[0] {
		s := feature.Cell{Value: feature.StringValue("x"), Status: feature.Present, EventTime: clock, HasTime: true}
		if w.empty {
			s = feature.Cell{Value: feature.StringValue(""), Status: feature.Present, EventTime: clock, HasTime: true}
		}
		a.Cells = append(a.Cells, w.cell(key.Int64(), online), s)
	}
	return a
}

// replica and history are the paths of a world.
type (
	replica struct{ *world }
	history struct{ *world }
)

func (w replica) LookupAtOnce(l *feature.Lookup) (*feature.Answer, error) {
	if w.online != nil {
		return nil, w.online
	}
	w.reads = append(w.reads, l.Rows())
	return w.answer(l, true), nil
}

func (w replica) Explain(l *feature.Lookup) (*feature.Answer, []asof.Trace, error) {
	a, err := w.LookupAtOnce(l)
	return a, make([]asof.Trace, 2), err
}

func (w replica) Instants(*feature.Plan) (at, from feature.Time, known bool) {
	return clock, floor, !w.unknown
}

func (w history) Explain(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, []asof.Trace, error) {
	a, err := w.Lookup(ctx, l, cut)
	return a, make([]asof.Trace, 2), err
}

func (w history) Lookup(_ context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, error) {
	if w.offline != nil {
		return nil, w.offline
	}
	if cut.Seq != seq {
		return nil, errors.New("read at another cut than the replica was")
	}
	a := w.answer(l, false)
	if w.short {
		a.Cells = a.Cells[1:]
	}
	return a, nil
}

// SampleKeys knows no key below the floor.
func (w history) SampleKeys(_ context.Context, _ *feature.Plan, at feature.Time, n int, _ feature.Cut) ([][]feature.Value, error) {
	keys := [][]feature.Value{{}}
	for k := int64(1); k <= min(w.keys, int64(n)) && at >= floor; k++ {
		keys[0] = append(keys[0], feature.Int64Value(k))
	}
	return keys, nil
}

func (w history) Wait(_ context.Context, seq uint64) error {
	w.waits = append(w.waits, seq)
	return nil
}

func (w history) Watermark() feature.Cut { return feature.Cut{Log: "log", Seq: seq - 1} }

func run(t *testing.T, w *world, req verify.Request) (*verify.Report, error) {
	t.Helper()
	integer, text := feature.Type{Kind: feature.KindInt64}, feature.Type{Kind: feature.KindString}
	catalog := &feature.Catalog{Views: []*feature.View{{
		Name: "v", Version: 1, Entity: feature.Entity{Name: "e", Key: []feature.Field{{Name: "k", Type: integer}}}, Keys: []string{"k"},
		Source: "events", Features: []feature.Feature{{Name: "n", Latest: "n", Type: integer}, {Name: "s", Latest: "s", Type: text}},
	}}}
	var err error
	if req.Plan, err = catalog.PlanFeatures([]string{"v.n", "v.s"}); err != nil {
		t.Fatal(err)
	}
	return verify.Run(t.Context(), replica{w}, history{w}, req, nil)
}

func TestAgreement(t *testing.T) {
	w := &world{keys: 1200}
	r, err := run(t, w, verify.Request{Sample: 2000})
	if err != nil || r.Check() != nil {
		t.Fatalf("Run = %v, Check = %v", err, r.Check())
	}
	want := &verify.Report{Compared: 4800, Informative: 4800} // at the clock and halfway to the floor
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{500, 500, 200, 500, 500, 200}, w.reads); diff != "" {
		t.Errorf("rows of the reads (-want +got):\n%s", diff)
	}
	for _, s := range w.waits {
		if s != seq {
			t.Errorf("waited for sequence %d, want that of the online read, %d", s, seq)
		}
	}
}

func TestSampleHasADefault(t *testing.T) {
	r, err := run(t, &world{keys: 5000}, verify.Request{At: []feature.Time{clock}})
	if err != nil || r.Compared != 2000 {
		t.Errorf("compared %d values, %v; want 2000 of 1000 keys", r.Compared, err)
	}
}

// TestFindsAPlantedDifference: whatever part of a cell differs is found, and told with its place.
func TestFindsAPlantedDifference(t *testing.T) {
	good := (&world{}).cell(7, false)
	plants := map[string]func(c *feature.Cell){
		"value":      func(c *feature.Cell) { c.Value = feature.Int64Value(8) },
		"null":       func(c *feature.Cell) { c.Value = feature.Value{} },
		"type":       func(c *feature.Cell) { c.Value = feature.Float64Value(7) },
		"status":     func(c *feature.Cell) { c.Status = feature.Expired },
		"event time": func(c *feature.Cell) { c.EventTime-- },
		"no time":    func(c *feature.Cell) { c.HasTime = false },
	}
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			bad := good
			plant(&bad)
			r, err := run(t, &world{keys: 700, planted: map[int64]feature.Cell{607: bad, 7: bad}}, verify.Request{At: []feature.Time{clock}, Sample: 100})
			if err != nil {
				t.Fatal(err)
			}
			for i := range r.Differences {
				if why := r.Differences[i].Why; why == nil || why.Feature != "v.n" || !why.Differs {
					t.Errorf("explained by %+v", why)
				}
				r.Differences[i].Why = nil
			}
			want := []verify.Difference{{At: clock, Key: feature.Key{feature.Int64Value(7)}, Feature: "v.n", Online: bad, Offline: good, Cut: feature.Cut{Log: "log", Seq: seq}}}
			if diff := cmp.Diff(want, r.Differences); diff != "" || r.Different != 1 {
				t.Errorf("%d differences (-want +got):\n%s", r.Different, diff)
			}
			if err := r.Check(); err == nil || !strings.Contains(err.Error(), "1 of 200 values differ") {
				t.Errorf("Check = %v, want 1 of 200 values differ", err)
			}
		})
	}
}

func TestCountsMoreDifferencesThanItLists(t *testing.T) {
	planted := map[int64]feature.Cell{}
	for k := range int64(3000) {
		planted[k] = feature.Cell{}
	}
	r, err := run(t, &world{keys: 1500, planted: planted}, verify.Request{At: []feature.Time{clock}, Sample: 1500})
	if err != nil || r.Different != 1500 || len(r.Differences) != 1000 {
		t.Errorf("Run = %v with %d differences, %d of them listed; want 1500, 1000", err, r.Different, len(r.Differences))
	}
}

func TestChecks(t *testing.T) {
	tests := map[string]struct {
		report verify.Report
		want   string
	}{
		"good":                  {verify.Report{Compared: 4, Informative: 4}, ""},
		"half says something":   {verify.Report{Compared: 4, Informative: 2}, ""},
		"too little is said":    {verify.Report{Compared: 4, Informative: 1}, "only 1 of 4 values say something"},
		"nothing":               {verify.Report{}, "nothing was compared"},
		"an instant of nothing": {verify.Report{Compared: 4, Informative: 4, Empty: []feature.Time{0}}, "nothing was compared at 1970-01-01T00:00:00Z"},
		"differences come first": {
			verify.Report{Compared: 4, Informative: 0, Different: 3}, "3 of 4 values differ",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := tc.report.Check()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Check = %v, want %q", err, tc.want)
			}
		})
	}
}

// TestWhatSaysNothing: two paths that agree on nothing at all prove nothing.
func TestWhatSaysNothing(t *testing.T) {
	r, err := run(t, &world{keys: 3, empty: true}, verify.Request{At: []feature.Time{clock}})
	if err != nil || r.Compared != 6 || r.Informative != 0 || r.Different != 0 || r.Check() == nil {
		t.Errorf("Run = %+v, %v; want 6 values of which none says something, and a failed Check", r, err)
	}
}

func TestInstantsWithoutKeys(t *testing.T) {
	early := floor - 1
	r, err := run(t, &world{keys: 3}, verify.Request{At: []feature.Time{clock, early}})
	if err != nil || r.Compared != 6 || r.Check() == nil {
		t.Errorf("Run = %+v, %v; want a failed Check for the instant %s", r, err, early)
	}
	if diff := cmp.Diff([]feature.Time{early}, r.Empty); diff != "" {
		t.Errorf("instants without keys (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	below := feature.Errorf(feature.CodeBelowFloor, "not kept")
	away := feature.Errorf(feature.CodeUnavailable, "ClickHouse is away")
	tests := map[string]struct {
		world world
		code  feature.Code
		text  string
	}{
		"the online path":        {world{keys: 3, online: below}, feature.CodeBelowFloor, "read online at "},
		"the offline path":       {world{keys: 3, offline: away}, feature.CodeUnavailable, "read offline at "},
		"a replica of no events": {world{keys: 3, unknown: true}, feature.CodeInvalid, "have seen no event yet"},
		"an answer of less":      {world{keys: 3, short: true}, feature.CodeInternal, "online answers 6 values, offline 5"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := run(t, &tc.world, verify.Request{})
			if r != nil || feature.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Run = %v, %v; want %s: %s", r, err, tc.code, tc.text)
			}
		})
	}
}
