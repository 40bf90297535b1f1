package online

import (
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// past is what a windowed view keeps of one key. It is a function of the set of the key's events and is read and changed
// under the lock of the key's shard.
//
// Windows with exact edges read events; all others read tiles, and the loose events, which are in none yet. Where a view is
// ready, events that every read sees whole move from there into their tiles (fold), once: what of that was written to disk
// is written together with the position of the log.
type past struct {
	windows *windows
	events  *tree // nil without windows with exact edges and latest features
	loose   *tree // nil without tilings
	tiles   []tiles
}

func newPast(w *windows) *past {
	p := &past{windows: w}
	if w.exact != nil {
		p.events = &tree{shape: w.exact}
	}
	if w.loose != nil {
		p.loose = &tree{shape: w.loose}
	}
	for i := range w.tilings {
		p.tiles = append(p.tiles, newTiles(&w.tilings[i]))
	}
	return p
}

// keeping says from when on a view keeps events. Only keep is set for a view without windows.
type keeping struct {
	keep         feature.Time // reads have hi ≥ keep
	exact, loose feature.Time // events after these are kept, for exact edges and for tiles
	tiles        []int64      // of each tiling the first tile that is kept
	folds        bool         // events may move into tiles
}

// keeping returns what t keeps now. Events may not move into tiles unless each of them is there once: while rows are merged
// that may come again they are told apart by their positions.
func (t *table) keeping(folds bool) *keeping {
	k := &keeping{keep: t.keep()}
	if w := t.windows; w != nil {
		k.exact, k.loose = w.exactFrom(k.keep), w.looseFrom(k.keep)
		k.folds = folds && w.loose != nil && k.keep != asof.NoClock
		for i := range w.tilings {
			k.tiles = append(k.tiles, w.tilings[i].needed(k.keep))
		}
	}
	return k
}

// folds reports whether events that come now come once.
func (t *table) folds() bool { return t.phase.Load() == ready && !t.loading.Load() }

// wants reports whether the view keeps an event, for exact edges and for tiles.
func (w *windows) wants(e *asof.Event, k *keeping) (exact, loose bool) {
	exact = w.exact != nil && (e.EventTime > k.exact || w.exact.latest)
	return exact, w.loose != nil && e.EventTime > k.loose
}

// insertAll inserts many events, which are ordered.
func (p *past) insertAll(add []asof.Event, k *keeping) {
	after := func(from feature.Time) []asof.Event {
		return add[sort.Search(len(add), func(i int) bool { return add[i].EventTime > from }):]
	}
	switch {
	case p.events == nil:
	case p.windows.exact.latest:
		p.events.insertAll(add)
	default:
		p.events.insertAll(after(k.exact))
	}
	if p.loose != nil {
		p.loose.insertAll(after(k.loose))
	}
}

// prune drops events that no read sees any more. It returns how many it dropped of those for exact edges.
func (p *past) prune(k *keeping) int {
	for i := range p.tiles {
		p.tiles[i].prune(k.tiles[i])
	}
	if p.loose != nil {
		p.loose.prune(k.loose)
	}
	if p.events == nil {
		return 0
	}
	return p.events.prune(k.exact)
}

// fold moves the loose events that every read sees whole into their tiles: all of them, or, when they are few, none. changed
// is told the tiles that it changes, moved the events.
//
// A sweep of the disk may have moved some of them there already (see sweepAfter): with all of them moved, the tiles that
// are written next have what the tiles on disk have.
func (p *past) fold(keep feature.Time, changed func(tileID), moved func(l *leaf, i, j int)) {
	p.loose.take(keep, func(l *leaf, i, j int) {
		for n := range p.tiles {
			g := &p.windows.tilings[n]
			for from := i; from < j; {
				number, to := g.number(l.times[from]), from+1
				for to < j && g.number(l.times[to]) == number {
					to++
				}
				p.tiles[n].add(g, number, l, from, to)
				changed(tileID{n, number})
				from = to
			}
		}
		moved(l, i, j)
	})
}

// lacks reports whether one of the events is neither among those for exact edges nor among the loose ones.
func (p *past) lacks(some []asof.Event) bool {
	return slices.ContainsFunc(some, func(e asof.Event) bool {
		return (p.events == nil || !p.events.has(&e.Position)) && (p.loose == nil || !p.loose.has(&e.Position))
	})
}

// tileID names a tile of a key.
type tileID struct {
	tiling int
	number int64
}

// bytes returns about how much memory p takes.
func (p *past) bytes() int64 {
	n := int64(pastBytes)
	if p.events != nil {
		n += p.events.bytes()
	}
	if p.loose != nil {
		n += p.loose.bytes()
	}
	for i := range p.tiles {
		n += p.tiles[i].bytes()
	}
	return n
}

const pastBytes = 80
