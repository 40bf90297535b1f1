package online

import (
	"math"
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// tileFanoutBits says how many tiles, or blocks of them, make a block: windows of many tiles read few of them.
const tileFanoutBits = 3

// tiling is the windows of a view that have one hop, or that are of a lifetime.
type tiling struct {
	hop      feature.Span  // 0: one tile of everything
	levels   int           // of blocks; that of the tiles alone is one of them
	measures []measure     // what its tiles sum up
	first    int           // index of the first of them among the measures of loose events
	view     *feature.View // that has its windows alone
}

// number returns the number of the tile that an instant is in (W1).
func (g *tiling) number(t feature.Time) int64 {
	if g.hop == 0 {
		return 0
	}
	return asof.Tile(t, g.hop)
}

// begins returns the number of the first tile after an instant that is the edge of one.
func (g *tiling) begins(lo feature.Time) int64 {
	if g.hop == 0 {
		return 0
	}
	return asof.Tile(lo, g.hop) + 1
}

// needed returns the number of the first tile that some read with hi ≥ keep sees.
func (g *tiling) needed(keep feature.Time) int64 {
	if g.hop == 0 {
		return 0
	}
	if keep == asof.NoClock {
		return math.MinInt64
	}
	return g.begins(asof.KeepFrom(g.view, keep))
}

// grow sets how many levels the tiling needs when a window has width.
func (g *tiling) grow(width feature.Span) {
	levels := 1
	for g.hop > 0 && width/g.hop > 1<<(levels*tileFanoutBits) {
		levels++
	}
	g.levels = max(g.levels, levels)
}

// tiles are what one tiling knows of a key: sums of events that no read can see a part of. They are a function of the
// set of these.
type tiles struct {
	levels [][]tile // those of a level in the order of their numbers
}

// tile is the events of a tile, or, in a higher level, of a block of them.
type tile struct {
	number int64
	states []agg.State // in the order of tiling.measures
}

func newTiles(g *tiling) tiles { return tiles{make([][]tile, g.levels)} }

// states returns the states of a tile or block, which is made if there is none.
func (t *tiles) states(g *tiling, level int, number int64) []agg.State {
	of := t.levels[level]
	at := len(of)
	if at > 0 && of[at-1].number >= number {
		at = sort.Search(len(of), func(i int) bool { return of[i].number >= number })
	}
	if at == len(of) || of[at].number != number {
		states := make([]agg.State, len(g.measures))
		for j := range g.measures {
			states[j] = g.measures[j].state()
		}
		t.levels[level] = slices.Insert(of, at, tile{number, states})
	}
	return t.levels[level][at].states
}

// add adds events i up to, and without, j of l, which are of one tile.
func (t *tiles) add(g *tiling, number int64, l *leaf, i, j int) {
	for k := range t.levels {
		states := t.states(g, k, number>>(k*tileFanoutBits))
		for m := range states {
			g.measures[m].addRange(states[m], l, i, j)
		}
	}
}

// load adds a tile.
func (t *tiles) load(g *tiling, number int64, tile []agg.State) {
	for k := range t.levels {
		states := t.states(g, k, number>>(k*tileFanoutBits))
		for m := range states {
			states[m].Merge(tile[m])
		}
	}
}

// fold adds the tiles from a number on to the state of a measure.
func (t *tiles) fold(into agg.State, measure int, from int64) {
	t.each(from, func(_ int, x *tile) { into.Merge(x.states[measure]) })
}

// each visits the tiles from a number on, in the greatest blocks that they make.
func (t *tiles) each(from int64, visit func(level int, x *tile)) {
	for k, of := range t.levels {
		end := (from>>tileFanoutBits + 1) << tileFanoutBits
		if from&(1<<tileFanoutBits-1) == 0 {
			end = from
		}
		top := k == len(t.levels)-1
		i := sort.Search(len(of), func(i int) bool { return of[i].number >= from })
		for ; i < len(of) && (top || of[i].number < end); i++ {
			visit(k, &of[i])
		}
		from = end >> tileFanoutBits
	}
}

// prune drops the tiles before a number.
func (t *tiles) prune(from int64) {
	for k, of := range t.levels {
		n := 0
		for n < len(of) && (of[n].number+1)<<(k*tileFanoutBits) <= from {
			n++
		}
		if n > 0 {
			clear(of[:n])
			t.levels[k] = of[n:]
		}
	}
}

// bytes returns about how much memory the tiles take.
func (t *tiles) bytes() int64 {
	n := int64(0)
	for _, of := range t.levels {
		for i := range of {
			n += 32 + int64(len(of[i].states))*stateSize
		}
	}
	return n
}

// appendStates appends the states of a tile.
func appendStates(dst []byte, states []agg.State) []byte {
	for _, s := range states {
		dst = s.Append(dst)
	}
	return dst
}

// parseStates reads what appendStates wrote.
func (g *tiling) parseStates(b []byte) ([]agg.State, error) {
	states := make([]agg.State, len(g.measures))
	for m := range g.measures {
		states[m] = g.measures[m].state()
		var err error
		if b, err = states[m].Decode(b); err != nil {
			return nil, err
		}
	}
	if len(b) > 0 {
		return nil, agg.ErrDamaged
	}
	return states, nil
}
