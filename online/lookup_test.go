package online_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/online"
)

// one returns a lookup of all features of v for one key at an instant.
func one(t testing.TB, v *feature.View, at feature.Time, key ...feature.Value) *feature.Lookup {
	l := &feature.Lookup{Plan: planOf(t, v), At: at}
	for _, k := range key {
		l.Keys = append(l.Keys, []feature.Value{k})
	}
	return l
}

// brief says value and status of each cell.
func brief(cells []feature.Cell) string {
	var parts []string
	for _, c := range cells {
		parts = append(parts, c.Value.String()+" "+c.Status.String())
	}
	return strings.Join(parts, ", ")
}

func TestLookupRules(t *testing.T) {
	s := open(t, online.Config{})
	follow(t, s, byUser(), byPair())
	apply(t, s, 1, 1000,
		row{u: ptr("x"), i: ptr(int64(1)), ts: 100, a: ptr(int64(5)), b: ptr("old")},
		row{u: ptr("x"), i: ptr(int64(11)), ts: 103, b: ptr("new")},
		row{u: ptr("gone"), i: ptr(int64(1)), ts: 102, a: ptr(int64(1)), gone: true},
		row{i: ptr(int64(1)), ts: 104, a: ptr(int64(9))},
		row{u: ptr(""), ts: 101, a: ptr(int64(3)), hasList: true},
	)
	x, null := feature.StringValue("x"), feature.Value{}
	n := feature.Int64Value
	for _, test := range []struct {
		name string
		l    *feature.Lookup
		want string
	}{
		{"R1: NULL stays NULL, D1", one(t, byUser(), 103, x), `-1 null, "new" present, NULL null, NULL null`},
		{"R1: event_time ≤ hi", one(t, byUser(), 102, x), `5 present, "old" present, 5 present, NULL null`},
		{"R2: the ttl's edge is in", one(t, byUser(), 107, feature.StringValue("")), `3 present, NULL null, 3 present, [] present`},
		{"R2: one past the ttl", one(t, byUser(), 109, feature.StringValue("")), `-1 expired, NULL null, 3 present, [] present`},
		{"R2: deleted", one(t, byUser(), 103, feature.StringValue("gone")), `-1 missing, NULL missing, NULL missing, NULL missing`},
		{"K3: unknown key", one(t, byUser(), 103, feature.StringValue("X")), `-1 missing, NULL missing, NULL missing, NULL missing`},
		{"K3: NULL key", one(t, byUser(), 103, null), `-1 missing, NULL missing, NULL missing, NULL missing`},
		{"K1: a tuple", one(t, byPair(), 103, x, n(1)), `5 present, "old" present`},
		{"T3: delay", one(t, byPair(), 104, x, n(11)), `-1 missing, NULL missing`},
		{"T3: delay, the edge", one(t, byPair(), 105, x, n(11)), `-1 null, "new" present`},
		{"K3: one part NULL", one(t, byPair(), 105, x, null), `-1 missing, NULL missing`},
	} {
		a := lookup(t, s, test.l)
		if got := brief(a.Cells); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if a.Path != feature.PathOnline || a.Cut.Seq != 1 || len(a.Stale) > 0 {
			t.Errorf("%s: path %s, cut %v, stale %v", test.name, a.Path, a.Cut, a.Stale)
		}
	}
	for _, v := range s.Stats().Views {
		if want := map[string]int64{"by_user": 1, "by_pair": 2}[v.View.Name]; v.Nulls != want {
			t.Errorf("K2: %s counted %d rows that are not part of it, want %d", v.View, v.Nulls, want)
		}
		if want := map[string]int64{"by_user": 3, "by_pair": 3}[v.View.Name]; v.Keys != want {
			t.Errorf("%s has about %d keys, want %d", v.View, v.Keys, want)
		}
	}
}

// TestRoles reads one view twice under different key names (K5), together with another, in the order of a list.
func TestRoles(t *testing.T) {
	s := open(t, online.Config{})
	view, other := byUser(), byPair()
	follow(t, s, view, other)
	apply(t, s, 1, 1000,
		row{u: ptr("x"), i: ptr(int64(1)), ts: 100, a: ptr(int64(5))},
		row{u: ptr("y"), i: ptr(int64(1)), ts: 100, a: ptr(int64(6))})
	c := catalogOf(view, other)
	c.Services = []*feature.Service{{Name: "s", Version: 1, Items: []feature.Item{
		{View: view, Role: "by_user", Keys: []string{"user"}, Features: []int{2}},
		{View: other, Role: "by_pair", Keys: []string{"user", "item"}, Features: []int{0}},
		{View: view, Role: "friend", Keys: []string{"friend"}, Features: []int{0, 2}},
	}}}
	plan, err := c.PlanService("s")
	if err != nil {
		t.Fatal(err)
	}
	v := feature.StringValue
	keys := map[string][]feature.Value{
		"user": {v("x"), v("y"), v("x")}, "friend": {v("y"), v("x"), {}}, "item": {feature.Int64Value(1), feature.Int64Value(2), {}},
	}
	l := &feature.Lookup{Plan: plan, At: 103}
	for _, f := range plan.Keys {
		l.Keys = append(l.Keys, keys[f.Name])
	}
	want := "5 present, 5 present, 6 present, 6 present, " +
		"6 present, -1 missing, 5 present, 5 present, " +
		"5 present, -1 missing, -1 missing, NULL missing"
	if got := brief(lookup(t, s, l).Cells); got != want {
		t.Errorf("roles: %s, want %s", got, want)
	}
}

// TestKeysAreTuples keeps (1, 11) and (11, 1), and keys of every type, apart (K1).
func TestKeysAreTuples(t *testing.T) {
	src := &feature.Source{Name: "e", Version: 1, EventTime: "ts", Columns: []feature.Field{
		{Name: "ts", Type: feature.Timestamp},
		{Name: "a", Type: feature.Int64},
		{Name: "b", Type: feature.Int64},
		{Name: "at", Type: feature.Timestamp},
		{Name: "on", Type: feature.Bool},
		{Name: "v", Type: feature.Int64},
	}}
	key := []feature.Field{{Name: "a", Type: feature.Int64}, {Name: "b", Type: feature.Int64}, {Name: "at", Type: feature.Timestamp}, {Name: "on", Type: feature.Bool}}
	view := &feature.View{
		Name: "w", Version: 1, Entity: feature.Entity{Name: "e", Key: key}, Keys: []string{"a", "b", "at", "on"}, Source: "e",
		Features: []feature.Feature{{Name: "v", Latest: "v", Type: feature.Int64}},
	}
	s := open(t, online.Config{})
	catalog := &feature.Catalog{Sources: []*feature.Source{src}, Views: []*feature.View{view}}
	mustFollow(t, s, catalog)
	b := feature.NewBatch(src)
	n, at := feature.Int64Value, func(x int64) feature.Value { return feature.TimestampValue(feature.Time(x)) }
	keys := [][]feature.Value{
		{n(1), n(11), at(-1), feature.BoolValue(true)},
		{n(11), n(1), at(-1), feature.BoolValue(true)},
		{n(1), n(11), at(1), feature.BoolValue(true)},
		{n(1), n(11), at(-1), feature.BoolValue(false)},
		{n(-1), n(0), at(0), feature.BoolValue(false)},
	}
	for i, k := range keys {
		b.Append([]feature.Value{at(-1000), k[0], k[1], k[2], k[3], n(int64(i))})
	}
	if err := s.Apply(1, 0, b); err != nil {
		t.Fatal(err)
	}
	plan, err := catalog.PlanFeatures([]string{"w.v"})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{k[0]}, {k[1]}, {k[2]}, {k[3]}}, At: -1000}
		if got := lookup(t, s, l).Cells[0].Value; !got.Equal(n(int64(i))) {
			t.Errorf("Lookup(%v) = %v, want %d", feature.Key(k), got, i)
		}
	}
}

func TestFloor(t *testing.T) {
	s := open(t, online.Config{})
	follow(t, s, byUser())
	x := feature.StringValue("x")
	if _, ok := s.Floor(byUser().Ref()); ok {
		t.Error("a view without events has a floor")
	}
	if _, _, ok := s.Instants(planOf(t, byUser())); ok {
		t.Error("a view without events has a clock")
	}
	lookup(t, s, one(t, byUser(), feature.MinTime, x)) // everything is answered
	apply(t, s, 1, 98, row{u: ptr("x"), ts: 90, a: ptr(int64(1))}, row{u: ptr("x"), ts: 100, a: ptr(int64(2))})
	// C4: the clock is min(event_time, available_at) = 98.
	if floor, ok := s.Floor(byUser().Ref()); !ok || floor != 93 {
		t.Errorf("Floor = %d, %t, want 93", floor, ok)
	}
	if clock, floor, ok := s.Instants(planOf(t, byUser())); !ok || clock != 98 || floor != 93 {
		t.Errorf("Instants = %d, %d, %t, want 98, 93", clock, floor, ok)
	}
	if got := brief(lookup(t, s, one(t, byUser(), 93, x)).Cells[2:3]); got != "1 present" {
		t.Errorf("at the floor: %s, want 1 present", got)
	}
	_, err := s.Lookup(one(t, byUser(), 92, x))
	if !errors.Is(err, feature.ErrBelowFloor) || !strings.Contains(err.Error(), "by_user@1") || !strings.Contains(err.Error(), feature.Time(93).String()) {
		t.Errorf("below the floor: %v, want below_floor with view and floor", err)
	}
	// A row with a NULL key is not part of the view and moves no clock.
	apply(t, s, 2, 500, row{ts: 400})
	if floor, _ := s.Floor(byUser().Ref()); floor != 93 {
		t.Errorf("Floor after a row without key = %d, want 93", floor)
	}
}

func TestUnavailable(t *testing.T) {
	s := open(t, online.Config{})
	x := feature.StringValue("x")
	refused := func(what string, l *feature.Lookup) {
		t.Helper()
		if _, err := s.Lookup(l); !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), l.Plan.Items[0].View.Ref().String()) {
			t.Errorf("%s: %v, want unavailable, with the view", what, err)
		}
		if _, err := s.LookupAtOnce(l); !errors.Is(err, feature.ErrUnavailable) {
			t.Errorf("%s, at once: %v, want unavailable", what, err)
		}
	}
	refused("not followed", one(t, byUser(), 0, x))
	if _, err := s.Follow(catalogOf(byUser())); err != nil {
		t.Fatal(err)
	}
	refused("joining", one(t, byUser(), 0, x))
	follow(t, s, byUser())
	lookup(t, s, one(t, byUser(), 0, x))
	changed := byUser()
	changed.Features = append([]feature.Feature(nil), changed.Features...)
	changed.Features[0].Latest = "i"
	refused("another definition under the same name and version", one(t, changed, 0, x))
	if _, err := s.Follow(catalogOf()); err != nil {
		t.Fatal(err)
	}
	refused("dropped", one(t, byUser(), 0, x))
	if err := s.SetReady(byUser().Ref()); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("SetReady of a dropped view: %v, want not found", err)
	}
	if err := s.Rejoin(byUser().Ref()); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("Rejoin of a dropped view: %v, want not found", err)
	}
	if err := s.Merge(byUser().Ref(), 0, each(nil)); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("Merge into a dropped view: %v, want not found", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(one(t, byUser(), 0, x)); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("closed: %v, want unavailable", err)
	}
}

func TestBadInput(t *testing.T) {
	s := open(t, online.Config{})
	follow(t, s, byUser())
	l := one(t, byUser(), 0, feature.StringValue("x"))
	l.Keys = nil
	if a, err := s.Lookup(l); err == nil && len(a.Cells) > 0 {
		t.Errorf("Lookup without keys answers %d cells", len(a.Cells))
	}
	bad := batchOf(row{u: ptr("x"), ts: 1})
	bad.Fields = append([]feature.Field(nil), bad.Fields...)
	bad.Fields[2].Name = "other"
	if err := s.Apply(1, 0, bad); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), `"ts"`) {
		t.Errorf("Apply without event time: %v, want invalid, with the column", err)
	}
	odd := feature.NewBatch(&feature.Source{Name: "clicks", Columns: []feature.Field{{Name: "u", Type: feature.Int64}, {Name: "ts", Type: feature.Timestamp}}})
	odd.Append([]feature.Value{feature.Int64Value(1), feature.TimestampValue(1)})
	if err := s.Apply(1, 0, odd); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), `"u"`) {
		t.Errorf("Apply with a column of another type: %v, want invalid, with the column", err)
	}
	if got := s.Position().Seq; got != 0 {
		t.Errorf("the position is %d after entries that were not applied, want 0", got)
	}
	// A column that the source got later is NULL in older entries.
	old := feature.NewBatch(&feature.Source{Name: "clicks", Columns: []feature.Field{{Name: "u", Type: feature.String}, {Name: "ts", Type: feature.Timestamp}}})
	old.Append([]feature.Value{feature.StringValue("x"), feature.TimestampValue(1)})
	if err := s.Apply(1, 0, old); err != nil {
		t.Fatal(err)
	}
	if got := brief(lookup(t, s, one(t, byUser(), 1, feature.StringValue("x"))).Cells[1:3]); got != "NULL null, NULL null" {
		t.Errorf("columns that an entry does not have: %s, want NULL null", got)
	}
}

// TestApplyKeepsNothingOfTheBatch changes a batch after it was applied.
func TestApplyKeepsNothingOfTheBatch(t *testing.T) {
	s := open(t, online.Config{})
	follow(t, s, byUser())
	b := batchOf(row{u: ptr("x"), ts: 1, a: ptr(int64(1)), hasList: true, l: []float64{2}})
	if err := s.Apply(1, 5, b); err != nil {
		t.Fatal(err)
	}
	l := one(t, byUser(), 1, feature.StringValue("x"))
	before := lookup(t, s, l).Cells
	b.Column("a").Ints[0] = 99
	b.Column("l").Lists[0][0] = feature.Float64Value(99)
	if diff := cmp.Diff(before, lookup(t, s, l).Cells, cmp.Comparer(feature.Value.Equal)); diff != "" {
		t.Errorf("the state changed with the batch:\n%s", diff)
	}
}
