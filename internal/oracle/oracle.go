// Package oracle is the law of docs/semantics.md once more, as plainly as it can be written: it holds a list
// of all events and looks through the whole list for every value. Tests compare the stores with it. It shares
// the nouns of package feature with them and nothing else; what it says is not meant to be fast.
package oracle

import (
	"github.com/lockstepfs/lockstep/feature"
)

// Event is one event as the oracle remembers it.
type Event struct {
	Source      string
	Values      map[string]feature.Value // by column
	EventTime   feature.Time
	AvailableAt feature.Time // T2
	Seq         uint64       // O1: of the log; 0 if imported
	Idx         int          // O1: place in its message; 0 if imported
	Imported    bool
	Edition     uint64 // E2: of an imported one
	Covered     uint64 // C3: the log sequence from which on it counts: its own, or that of its import's record
	Erased      bool   // E3: it does not exist any more; clocks have seen it
}

// Oracle is a list of events and the definitions they are read by. It is not safe for concurrent use.
type Oracle struct {
	Holds   Condition // needed by windows with a condition
	Formula Formula   // needed by on-demand features

	catalog *feature.Catalog
	events  []Event
}

// New returns an oracle without events.
func New(c *feature.Catalog) *Oracle { return &Oracle{catalog: c} }

// Change makes c the definitions that events are read by.
func (o *Oracle) Change(c *feature.Catalog) { o.catalog = c }

// Copies says how many rows of a message or an import were copies of events that were there before them, and how
// many of these differ from them (E1).
type Copies struct{ Duplicates, Conflicts int }

// Push adds the rows of one log message that the log took under seq at the instant taken, but for copies.
func (o *Oracle) Push(rows *feature.Batch, seq uint64, taken feature.Time) Copies {
	var copies Copies
	src := o.catalog.Source(rows.Source)
	for i := range rows.Rows {
		e := Event{Source: src.Name, Values: named(rows, i), AvailableAt: taken, Seq: seq, Idx: i, Covered: seq}
		e.EventTime = e.Values[src.EventTime].Time()
		o.add(src, e, &copies)
	}
	return copies
}

// Import adds the rows of one import whose record in the log has the sequence record, but for copies.
func (o *Oracle) Import(rows *feature.Batch, record uint64) Copies {
	return o.Replace(rows, o.catalog.Source(rows.Source).Edition.Number, record)
}

// Replace is Import into an edition (E2), which views see when Change makes them see it.
func (o *Oracle) Replace(rows *feature.Batch, edition, record uint64) Copies {
	var copies Copies
	src := o.catalog.Source(rows.Source)
	for i := range rows.Rows {
		e := Event{Source: src.Name, Values: named(rows, i), Imported: true, Edition: edition, Covered: record}
		e.EventTime = e.Values[src.EventTime].Time()
		e.AvailableAt = e.EventTime
		if known := e.Values[src.AvailableAt]; src.AvailableAt != "" && !known.IsNull() {
			e.AvailableAt = known.Time()
		}
		o.add(src, e, &copies)
	}
	return copies
}

// add appends the event unless it is a copy (E1): the events of the list stand in the order of their arrival.
func (o *Oracle) add(src *feature.Source, e Event, copies *Copies) {
	for i := range o.events {
		first := &o.events[i]
		if len(src.ID) == 0 || first.Erased || first.Source != src.Name || apart(first, &e) || !one(src, first, &e) {
			continue
		}
		copies.Duplicates++
		for _, f := range src.Columns {
			if order(first.Values[f.Name], e.Values[f.Name]) != 0 {
				copies.Conflicts++
				break
			}
		}
		return
	}
	o.events = append(o.events, e)
}

// apart reports whether no view sees both events, so that e is not compared with the first (E2). What is pushed is for all views.
func apart(first, e *Event) bool { return first.Imported && e.Imported && first.Edition != e.Edition }

// one reports whether two events have one id and are at most dedup apart (E1).
func one(src *feature.Source, a, b *Event) bool {
	apart := a.EventTime - b.EventTime
	if apart < 0 {
		apart = -apart
	}
	if apart > feature.Time(src.Dedup) {
		return false
	}
	for _, column := range src.ID {
		if order(a.Values[column], b.Values[column]) != 0 {
			return false
		}
	}
	return true
}

// Erase takes the events so far away in which a view on the entity finds the key (E3).
func (o *Oracle) Erase(entity string, key feature.Key) {
	for _, v := range o.catalog.Views {
		for i := range o.events {
			e := &o.events[i]
			if v.Entity.Name == entity && e.Source == v.Source && compareKeys(o.keyOf(v, e), key) == 0 {
				e.Erased = true
			}
		}
	}
}

func named(b *feature.Batch, row int) map[string]feature.Value {
	m := make(map[string]feature.Value, len(b.Fields))
	for i, f := range b.Fields {
		m[f.Name] = b.Columns[i].Value(row)
	}
	return m
}

// Cut restricts a read to what the log says up to a sequence (C1, C3). Now is no restriction.
type Cut uint64

// Now is the cut after everything.
const Now = Cut(1<<64 - 1)

// Lookup returns the cells of a read, row by row in the order of the plan's slots, under a clock (S2) and at a
// cut. It always answers; what a replica would refuse is for Floor to say.
func (o *Oracle) Lookup(l *feature.Lookup, clock feature.Clock, cut Cut) []feature.Cell {
	o = o.with(l.Events, cut)
	var cells []feature.Cell
	for row := range l.Rows() {
		request := map[string]feature.Value{}
		for i, f := range l.Plan.Keys {
			request[f.Name] = l.Keys[i][row]
		}
		cell := func(it *feature.Item, index int) feature.Cell {
			return o.cell(reading{it, request, l.At, clock, cut}, index)
		}
		for _, s := range l.Plan.Slots {
			if s.Item == feature.OnDemandItem {
				cells = append(cells, o.derived(l, row, &l.Plan.Derived[s.Feature], cell))
			} else {
				cells = append(cells, cell(&l.Plan.Items[s.Item], s.Feature))
			}
		}
	}
	return cells
}

// Slack returns for each cell of the same Lookup how far apart two right answers may lie: 0 where rule V3 has them equal.
func (o *Oracle) Slack(l *feature.Lookup, clock feature.Clock, cut Cut) []float64 {
	o = o.with(l.Events, cut)
	var slack []float64
	for row := range l.Rows() {
		request := map[string]feature.Value{}
		for i, f := range l.Plan.Keys {
			request[f.Name] = l.Keys[i][row]
		}
		for _, s := range l.Plan.Slots {
			if s.Item == feature.OnDemandItem { // those of histories read what is exact
				slack = append(slack, 0)
				continue
			}
			item := &l.Plan.Items[s.Item]
			slack = append(slack, o.slack(reading{item, request, l.At, clock, cut}, &item.View.Features[s.Feature]))
		}
	}
	return slack
}

// with returns the oracle at a cut as if the log had taken the events of a read after everything else (D4): copies of
// events that are there are none (E1).
func (o *Oracle) with(asked []*feature.Batch, cut Cut) *Oracle {
	if len(asked) == 0 {
		return o
	}
	then := &Oracle{Holds: o.Holds, Formula: o.Formula, catalog: o.catalog}
	for _, e := range o.events {
		if e.Covered <= uint64(cut) {
			then.events = append(then.events, e)
		}
	}
	for _, b := range asked {
		src := o.catalog.Source(b.Source)
		for i := range b.Rows {
			e := Event{Source: src.Name, Values: named(b, i), Seq: uint64(Now), Idx: i, Covered: uint64(cut)}
			e.EventTime = e.Values[src.EventTime].Time()
			then.add(src, e, &Copies{})
		}
	}
	return then
}

// SpineRow is a row of a spine: its keys in the order of the plan's Keys, its time, and inputs in the order of the plan's.
type SpineRow struct {
	Keys   []feature.Value
	At     feature.Time
	Inputs []feature.Value
}

// Train returns the cells of a training set: for every spine row, in order (S1), those of a read at its time; and
// their slack.
func (o *Oracle) Train(plan *feature.Plan, spine []SpineRow, clock feature.Clock, cut Cut) ([]feature.Cell, []float64) {
	var cells []feature.Cell
	var slack []float64
	for _, r := range spine {
		l := &feature.Lookup{Plan: plan, At: r.At}
		for _, v := range r.Keys {
			l.Keys = append(l.Keys, []feature.Value{v})
		}
		for _, v := range r.Inputs {
			l.Inputs = append(l.Inputs, []feature.Value{v})
		}
		cells, slack = append(cells, o.Lookup(l, clock, cut)...), append(slack, o.Slack(l, clock, cut)...)
	}
	return cells, slack
}

// reading is one read of one item of a plan.
type reading struct {
	item    *feature.Item
	request map[string]feature.Value
	at      feature.Time
	clock   feature.Clock
	cut     Cut
}

// hi is the instant looked at (T3).
func (r reading) hi() feature.Time { return r.at - feature.Time(r.item.View.Delay) }

// sees reports whether the event, which is one of the view's, is of the key asked for and may be looked at
// (K1, K3, R1, S2, C3).
func (r reading) sees(e *Event) bool {
	if e.Erased || uint64(r.cut) < e.Covered || e.EventTime > r.hi() || !of(r.item.View, e) {
		return false
	}
	if r.clock == feature.ClockAvailable && e.AvailableAt > r.at {
		return false
	}
	for i, name := range r.item.Keys {
		asked, has := r.request[name], e.Values[r.item.View.Keys[i]]
		if asked.IsNull() || has.IsNull() || order(asked, has) != 0 {
			return false
		}
	}
	return true
}

func (o *Oracle) cell(r reading, index int) feature.Cell {
	src := o.catalog.Source(r.item.View.Source)
	f := r.item.View.Features[index]
	if f.Window != nil {
		return o.window(r, &f)
	}
	var newest *Event
	for i := range o.events {
		e := &o.events[i]
		if r.sees(e) && (newest == nil || newer(src, e, newest)) {
			newest = e
		}
	}
	missing := feature.Cell{Status: feature.Missing, Value: f.Default}
	if newest == nil {
		return missing
	}
	if src.Deleted != "" && newest.Values[src.Deleted].Bool() {
		return missing
	}
	c := feature.Cell{EventTime: newest.EventTime, HasTime: true, Value: f.Default}
	value := o.value(r.item.View, newest, f.Latest)
	age := int64(r.hi()) - int64(newest.EventTime)
	if f.TTL != 0 && age > int64(f.TTL) {
		c.Status = feature.Expired
	} else if value.IsNull() {
		c.Status = feature.Null
	} else {
		c.Status, c.Value = feature.Present, value
	}
	return c
}
