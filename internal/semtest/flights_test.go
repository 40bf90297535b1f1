package semtest_test

import (
	"cmp"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

const flightsYAML = `
kind: entity
name: airport
key: [{name: airport, type: string}]
---
kind: entity
name: route
key: [{name: origin, type: string}, {name: destination, type: string}]
---
kind: source
name: flights
columns: {flight_id: int64, origin: string, destination: string, known_at: timestamp, delay: int64}
event_time: known_at
tiebreak: flight_id
---
kind: view
name: o
entity: airport
keys: {airport: origin}
source: flights
history: 30d
features:
  - {name: cnt, count: "*", window: [3h, 24h]}
  - {name: avg, avg: delay, window: [3h, 24h]}
  - {name: max, max: delay, window: [24h]}
  - {name: late, count: "*", where: "delay >= 15", window: [24h]}
---
kind: view
name: d
entity: airport
keys: {airport: destination}
source: flights
history: 30d
features: [{name: cnt, count: "*", window: [3h]}, {name: avg, avg: delay, window: [3h]}]
---
kind: view
name: r
entity: route
source: flights
history: 30d
features: [{name: cnt, count: "*", window: [7d]}, {name: avg, avg: delay, window: [7d]}, {name: min, min: delay, window: [7d]}, {name: last, last: delay, window: 7d}]
---
kind: service
name: model
features: [{view: o, keys: {airport: origin}}, {view: d, keys: {airport: destination}}, r]
`

// TestFlightsOnline reads the windows of flights that two independent evaluators agree about from a replica that has seen all
// flights and answers for the last 30 days: those above its floor are equal, and no other is answered.
func TestFlightsOnline(t *testing.T) {
	expected := expectedFile(t, "flights", "flights_expected_20k.parquet")
	catalog, err := semtest.Define(flightsYAML)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := catalog.PlanService("model")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := onlineExecution(inMemory).Open(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	e := opened.(*onlineEngine)
	defer e.Close()
	events := readFlights(t, catalog.Source("flights"))
	times := events.Column("known_at").Ints
	floor := feature.Time(slices.Max(times)).Add(-30 * feature.Day)
	e.seq++
	if err := e.apply(entry{seq: e.seq, rows: events, imported: true, erased: make([]bool, events.Rows)}); err != nil {
		t.Fatal(err)
	}
	rows, answered, cells, wrong := 0, 0, 0, 0
	for b := range tableRows(t, nil, expected) {
		for i := range b.Rows {
			rows++
			l := &feature.Lookup{Plan: plan, At: b.Column("ts").Value(i).Time()}
			for _, k := range plan.Keys {
				l.Keys = append(l.Keys, []feature.Value{b.Column(k.Name).Value(i)})
			}
			a, err := e.store.Lookup(l)
			if below := feature.CodeOf(err) == feature.CodeBelowFloor; below != (l.At < floor) || err != nil && !below {
				t.Fatalf("read at %s, floor %s: %v", l.At, floor, err)
			}
			if err != nil {
				continue
			}
			answered++
			for f, cell := range a.Cells {
				cells++
				if want := b.Column(flightColumn(plan.Names[f])).Value(i); want.IsNull() != cell.Value.IsNull() || math.Abs(numeric(want)-numeric(cell.Value)) > 1e-9 {
					wrong++
				}
			}
		}
	}
	t.Logf("%d of %d flights are above the floor: %d cells, %d differ", answered, rows, cells, wrong)
	if rows != 20_000 || answered < 3000 || cells != 12*answered || wrong > 0 {
		t.Errorf("%d of %d flights answered, %d of %d cells differ; want at least 3000 of 20000, and 0", answered, rows, wrong, cells)
	}
}

// flightColumn is the published name of a feature.
func flightColumn(name string) string { return name[:1] + "_" + name[2:] }

// readFlights reads the flights that windows of the last 30 days reach, numbered in the published order.
func readFlights(t *testing.T, src *feature.Source) *feature.Batch {
	file := os.Getenv("LOCKSTEP_FLIGHTS")
	if file == "" {
		t.Fatal("LOCKSTEP_FLIGHTS does not name flights-3m.parquet: run make test-go, which fetches it")
	}
	type flight struct {
		date                feature.Time
		origin, destination string
		distance, delay     int64
	}
	from, err := feature.ParseTime("2001-05-23") // 39 days before the last departure
	if err != nil {
		t.Fatal(err)
	}
	var flights []flight
	for b := range tableRows(t, nil, file) {
		date, origin, destination, distance, delay := b.Column("date"), b.Column("origin"), b.Column("destination"), b.Column("distance"), b.Column("delay")
		for i := range b.Rows {
			if at := date.Value(i).Time(); at >= from {
				flights = append(flights, flight{at, origin.Value(i).Str(), destination.Value(i).Str(), distance.Value(i).Int64(), delay.Value(i).Int64()})
			}
		}
	}
	slices.SortFunc(flights, func(a, b flight) int {
		return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.origin, b.origin), cmp.Compare(a.destination, b.destination),
			cmp.Compare(a.distance, b.distance), cmp.Compare(a.delay, b.delay))
	})
	out := feature.NewBatch(src)
	for i, f := range flights {
		known := max(f.date, f.date.Add(feature.Span(30+f.distance*60/460+f.delay)*feature.Minute))
		out.Append([]feature.Value{
			feature.Int64Value(int64(i)), feature.StringValue(f.origin), feature.StringValue(f.destination), feature.TimestampValue(known), feature.Int64Value(f.delay),
		})
	}
	return out
}
