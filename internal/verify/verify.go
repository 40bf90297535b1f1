// Package verify reads the same keys at the same instants and the same cut from both paths and compares them
// cell by cell (rule C6).
package verify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Online is the replica. It answers all rows at one cut.
type Online interface {
	LookupAtOnce(l *feature.Lookup) (*feature.Answer, error)
	// Explain is LookupAtOnce of one row, with what each slot was made of.
	Explain(l *feature.Lookup) (*feature.Answer, []asof.Trace, error)
	// Instants returns the clock of the plan's views that is least, and the greatest of their floors.
	Instants(p *feature.Plan) (clock, floor feature.Time, known bool)
}

// Offline is the history.
type Offline interface {
	Lookup(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, error)
	// Explain is Lookup of one row, with what each slot was made of.
	Explain(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, []asof.Trace, error)
	// SampleKeys returns up to n keys that have events at or before at: a column for each of the plan's keys.
	SampleKeys(ctx context.Context, p *feature.Plan, at feature.Time, n int, cut feature.Cut) ([][]feature.Value, error)
	// Wait returns when the history covers seq.
	Wait(ctx context.Context, seq uint64) error
	Watermark() feature.Cut
}

// Request says what to compare.
type Request struct {
	Plan   *feature.Plan
	At     []feature.Time // none: the clock of the slowest view, and halfway from there to the floor
	Sample int            // keys for each instant; 0 means 1000
}

// Difference is a cell in which the paths differ.
type Difference struct {
	At      feature.Time
	Key     feature.Key // in the order of the plan's keys
	Feature string
	Online  feature.Cell
	Offline feature.Cell
	Cut     feature.Cut
	Why     *Explained // of the first differences: what both paths made it of when it was found; nil if they agreed then
}

// Report is the outcome of a verification.
type Report struct {
	Compared    int64
	Informative int64        // compared values that say something: present, and not zero, empty or false
	Differences []Difference // the first 1000
	Different   int64
	Empty       []feature.Time // instants that the request named and at which no key has an event
}

// Progress says how far a verification has come.
type Progress struct {
	Done, Total int
}

const (
	defaultSample  = 1000
	chunk          = 500 // keys of one pair of reads
	maxDifferences = 1000
)

// Check returns nil if the report is good: something was compared, nothing differs and at least half of the
// values say something (rule C6).
func (r *Report) Check() error {
	switch {
	case r.Different > 0:
		return fmt.Errorf("%d of %d values differ between the online and the offline path", r.Different, r.Compared)
	case r.Compared == 0:
		return fmt.Errorf("nothing was compared: no key has an event at the instants asked for")
	case len(r.Empty) > 0:
		return fmt.Errorf("nothing was compared at %s: no key has an event then", r.Empty[0])
	case r.Informative*2 < r.Compared:
		return fmt.Errorf("only %d of %d values say something (not null, zero, empty, missing or expired): choose instants nearer to the data with --at", r.Informative, r.Compared)
	default:
		return nil
	}
}

// Run compares both paths. A path that refuses to answer is an error. progress may be nil.
func Run(ctx context.Context, online Online, offline Offline, req Request, progress func(Progress)) (*Report, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if req.Sample <= 0 {
		req.Sample = defaultSample
	}
	named := len(req.At) > 0
	if !named {
		clock, floor, known := online.Instants(req.Plan)
		if !known {
			return nil, feature.Errorf(feature.CodeInvalid, "the views have seen no event yet: there is nothing to compare; import or push first, or name instants with --at")
		}
		req.At = []feature.Time{clock, floor + (clock-floor)/2}
	}
	whole := req.Plan
	req.Plan = whole.Base()
	report := &Report{}
	for i, at := range req.At {
		progress(Progress{Done: i, Total: len(req.At)})
		keys, err := offline.SampleKeys(ctx, req.Plan, at, req.Sample, offline.Watermark())
		if err != nil {
			return nil, fmt.Errorf("sample keys at %s: %w", at, err)
		}
		lookup := &feature.Lookup{Plan: req.Plan, Keys: keys, At: at}
		if named && lookup.Rows() == 0 {
			report.Empty = append(report.Empty, at)
		}
		for from := 0; from < lookup.Rows(); from += chunk {
			part := slice(lookup, from)
			on, off, err := read(ctx, online, offline, part)
			if err != nil {
				return nil, err
			}
			before := len(report.Differences)
			report.compare(part, on, off)
			if err := report.explain(ctx, online, offline, part.Plan, before); err != nil {
				return nil, err
			}
			report.compareDerived(whole, part, on, off)
		}
	}
	progress(Progress{Done: len(req.At), Total: len(req.At)})
	return report, nil
}

func slice(l *feature.Lookup, from int) *feature.Lookup {
	to := min(from+chunk, l.Rows())
	part := &feature.Lookup{Plan: l.Plan, At: l.At, Keys: make([][]feature.Value, len(l.Keys))}
	for i, column := range l.Keys {
		part.Keys[i] = column[from:to]
	}
	return part
}

// read asks both paths at one cut.
func read(ctx context.Context, online Online, offline Offline, l *feature.Lookup) (on, off *feature.Answer, err error) {
	if on, err = online.LookupAtOnce(l); err != nil {
		return nil, nil, fmt.Errorf("read online at %s: %w", l.At, err)
	}
	if err = offline.Wait(ctx, on.Cut.Seq); err != nil {
		return nil, nil, err
	}
	if off, err = offline.Lookup(ctx, l, on.Cut); err != nil {
		return nil, nil, fmt.Errorf("read offline at %s: %w", l.At, err)
	}
	if len(on.Cells) != len(off.Cells) {
		return nil, nil, fmt.Errorf("online answers %d values, offline %d", len(on.Cells), len(off.Cells))
	}
	return on, off, nil
}

func (r *Report) compare(l *feature.Lookup, on, off *feature.Answer) {
	width := len(l.Plan.Slots)
	for i := range on.Cells {
		r.add(on.Cells[i], sameIn(l.Plan, i%width, on.Cells[i], off.Cells[i]), func() Difference {
			return Difference{At: l.At, Key: key(l, i/width), Feature: l.Plan.Names[i%width], Online: on.Cells[i], Offline: off.Cells[i], Cut: on.Cut}
		})
	}
}

// add counts a compared value.
func (r *Report) add(online feature.Cell, same bool, difference func() Difference) {
	r.Compared++
	if informative(online) {
		r.Informative++
	}
	if same {
		return
	}
	r.Different++
	if len(r.Differences) < maxDifferences {
		r.Differences = append(r.Differences, difference())
	}
}

// explain says why of the first differences, those of p from number n on.
func (r *Report) explain(ctx context.Context, online Online, offline Offline, p *feature.Plan, n int) error {
	for ; n < min(len(r.Differences), maxExplained); n++ {
		d := &r.Differences[n]
		l := &feature.Lookup{Plan: p, At: d.At}
		for _, v := range d.Key {
			l.Keys = append(l.Keys, []feature.Value{v})
		}
		x, err := Explain(ctx, online, offline, l)
		if err != nil {
			return err
		}
		if e := &x.Features[slices.Index(p.Names, d.Feature)]; e.Differs {
			d.Why = e
		}
	}
	return nil
}

func key(l *feature.Lookup, row int) feature.Key {
	k := make(feature.Key, len(l.Keys))
	for i := range l.Keys {
		k[i] = l.Keys[i][row]
	}
	return k
}

// rounding is how far, relative to the greater, two float64 results of one window may lie apart (V3).
const rounding = 1e-9

// sameIn compares two cells of a column of a plan without on-demand features.
func sameIn(p *feature.Plan, column int, a, b feature.Cell) bool {
	slot := p.Slots[column]
	return same(&p.Items[slot.Item].View.Features[slot.Feature], a, b)
}

func same(f *feature.Feature, a, b feature.Cell) bool {
	if a.Status != b.Status || a.HasTime != b.HasTime || a.HasTime && a.EventTime != b.EventTime {
		return false
	}
	if f.Window != nil && a.Value.Type() == feature.Float64 && b.Value.Type() == feature.Float64 {
		x, y := a.Value.Float64(), b.Value.Float64()
		return math.Abs(x-y) <= rounding*max(math.Abs(x), math.Abs(y))
	}
	return a.Value.Equal(b.Value)
}

// informative reports whether the value says something: rule C6 does not count NULL, zero, empty, missing and
// expired ones, which two broken paths would agree on too.
func informative(c feature.Cell) bool {
	if c.Status != feature.Present {
		return false
	}
	v := c.Value
	switch t := v.Type(); {
	case t.List:
		return len(v.List()) > 0
	case t.Kind == feature.KindInt64:
		return v.Int64() != 0
	case t.Kind == feature.KindFloat64:
		return v.Float64() != 0
	case t.Kind == feature.KindBool:
		return v.Bool()
	case t.Kind == feature.KindString:
		return v.Str() != ""
	default:
		return true
	}
}
