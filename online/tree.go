package online

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Blocks of summaries: one of level k is of fanout^k leaves.
const (
	fanoutBits = 2
	fanout     = 1 << fanoutBits
)

// tree is the events of one key of a windowed view, in their order, in leaves. Leaves have numbers that never change
// their order; when the oldest are dropped, the numbers of the others stay. All leaves but the last one are summed up, and
// so is every block of them whose number is divisible by the fanout, and every block of such blocks: what lies between two
// instants is two partial leaves and a few blocks of each level, and its cost grows with the logarithm of the events.
//
// A tree is read and changed under the lock of its key's shard.
type tree struct {
	shape  *shape
	first  int // number of leaves[0]
	leaves []*leaf
	starts []feature.Time // of each leaf the time of its first event; after every event for one without any
	// levels holds for each level the states of the blocks that are complete, those of one block in the order of
	// shape.measures. The first block that is here is the one that leaf first is in; of that some leaves may be gone.
	levels [][]agg.State
}

// end is the number behind that of the last leaf that is summed up.
func (t *tree) end() int { return t.first + max(len(t.leaves)-1, 0) }

// insert adds e, unless it is there already, which it reports. It keeps nothing of e.
func (t *tree) insert(e *asof.Event) bool {
	n, added := t.place(e)
	if !added {
		return false
	}
	l := t.leaves[n]
	switch last := len(t.leaves) - 1; {
	case n == last && l.len() < t.shape.leaf:
	case n == last:
		t.open()
		t.sumUp()
	case l.len() < 2*t.shape.leaf:
		t.addLate(n, e)
	default:
		t.split(n)
		t.sumUpFrom(t.first + n)
	}
	return true
}

// place puts e into its leaf, the returned one, and leaves the blocks as they are.
func (t *tree) place(e *asof.Event) (n int, added bool) {
	if len(t.leaves) == 0 {
		t.open()
	}
	last := len(t.leaves) - 1
	if n = last; last > 0 && !t.leaves[last-1].before(e) {
		n = sort.Search(last, func(i int) bool { return !t.leaves[i].before(e) })
	}
	l, at, found := t.leaves[n], t.leaves[n].len(), false
	if at > 0 && !l.before(e) {
		if at, found = l.find(&e.Position); found {
			return n, false
		}
	}
	l.insert(at, e, t.shape.stored)
	t.starts[n] = min(t.starts[n], e.EventTime)
	return n, true
}

// open begins a leaf.
func (t *tree) open() {
	t.leaves, t.starts = append(t.leaves, newLeaf(t.shape.windows)), append(t.starts, math.MaxInt64)
}

// has reports whether there is an event of the position.
func (t *tree) has(p *asof.Position) bool {
	n := t.lastFrom(p.EventTime)
	if n < 0 {
		return false
	}
	for ; n >= 0 && t.leaves[n].times[t.leaves[n].len()-1] >= p.EventTime; n-- {
		if _, found := t.leaves[n].find(p); found {
			return true
		}
	}
	return false
}

// insertAll inserts many events, which are summed up at once.
func (t *tree) insertAll(events []asof.Event) {
	changed := t.end()
	for i := range events {
		n, added := t.place(&events[i])
		if !added {
			continue
		}
		changed = min(changed, t.first+n)
		switch last := len(t.leaves) - 1; {
		case n == last && t.leaves[n].len() >= t.shape.leaf:
			t.open()
		case n < last && t.leaves[n].len() >= 2*t.shape.leaf:
			t.split(n)
		}
	}
	t.sumUpFrom(changed)
}

// split makes two leaves of one.
func (t *tree) split(n int) {
	l := t.leaves[n]
	half := l.len() / 2
	t.leaves[n] = l.cut(0, half)
	t.leaves = slices.Insert(t.leaves, n+1, l.cut(half, l.len()))
	t.starts = slices.Insert(t.starts, n+1, l.times[half])
}

// base is the number of the first block of a level that is here.
func (t *tree) base(level int) int { return t.first >> (level * fanoutBits) }

// block returns the states of a block, or nil if it is not here.
func (t *tree) block(level, number int) []agg.State {
	m := len(t.shape.measures)
	at := (number - t.base(level)) * m
	if at < 0 || at >= len(t.levels[level]) {
		return nil
	}
	return t.levels[level][at : at+m]
}

// sumUpFrom sums up anew all leaves from number n on.
func (t *tree) sumUpFrom(n int) {
	m := len(t.shape.measures)
	for k := range t.levels {
		if keep := max(n>>(k*fanoutBits)-t.base(k), 0) * m; keep < len(t.levels[k]) {
			clear(t.levels[k][keep:])
			t.levels[k] = t.levels[k][:keep]
		}
	}
	t.sumUp()
}

// sumUp sums up the leaves before the last one that are not yet, and the blocks that they complete.
func (t *tree) sumUp() {
	m := len(t.shape.measures)
	if m == 0 {
		return
	}
	if len(t.levels) == 0 {
		t.levels = append(t.levels, nil)
	}
	for n := t.first + len(t.levels[0])/m; n < t.end(); n++ {
		for j := range t.shape.measures {
			t.levels[0] = append(t.levels[0], t.leafState(n, j))
		}
		for k := 1; (n+1)&(1<<(k*fanoutBits)-1) == 0; k++ {
			if k == len(t.levels) {
				t.levels = append(t.levels, nil)
			}
			for j := range t.shape.measures {
				t.levels[k] = append(t.levels[k], t.blockState(k, n>>(k*fanoutBits), j))
			}
		}
	}
}

// leafState computes the state of a measure over a leaf.
func (t *tree) leafState(number, measure int) agg.State {
	m, l := &t.shape.measures[measure], t.leaves[number-t.first]
	s := m.state()
	m.addRange(s, l, 0, l.len())
	return s
}

// blockState computes the state of a measure over those blocks below one that are here.
func (t *tree) blockState(level, number, measure int) agg.State {
	s := t.shape.measures[measure].state()
	for c := range fanout {
		if below := t.block(level-1, number*fanout+c); below != nil {
			s.Merge(below[measure])
		}
	}
	return s
}

// addLate adds e, which leaf n got, to the blocks over it.
func (t *tree) addLate(n int, e *asof.Event) {
	for k := range t.levels {
		block := t.block(k, (t.first+n)>>(k*fanoutBits))
		for j := range block {
			t.shape.measures[j].add(block[j], e)
		}
	}
}

// prune drops leaves whose events are all at or before from, but, where latest features are read, for the newest of
// these events. It returns how many events it dropped.
func (t *tree) prune(from feature.Time) int {
	last := len(t.leaves) - 1
	if last == 0 {
		return t.trim(from)
	}
	n := 0
	for n < last && t.spare(n, from) {
		n++
	}
	return t.dropLeaves(n)
}

// dropLeaves drops the first n leaves, and returns how many events these were.
func (t *tree) dropLeaves(n int) int {
	if n <= 0 {
		return 0
	}
	dropped := 0
	for _, l := range t.leaves[:n] {
		dropped += l.len()
	}
	clear(t.leaves[:n])
	t.leaves, t.starts = t.leaves[n:], t.starts[n:]
	for k := range t.levels {
		gone := ((t.first+n)>>(k*fanoutBits) - t.base(k)) * len(t.shape.measures)
		clear(t.levels[k][:gone])
		t.levels[k] = t.levels[k][gone:]
	}
	t.first += n
	return dropped
}

// take takes all events at or before to out of the tree and gives them to taken, events i up to, and without, j of l, if
// they are many enough to be worth it; else it takes none.
func (t *tree) take(to feature.Time, taken func(l *leaf, i, j int)) {
	if len(t.leaves) == 0 {
		return
	}
	if n := t.leaves[0].until(to); n < t.leaves[0].len() && n < t.shape.leaf/8 || n == 0 {
		return
	}
	n := 0
	for n < len(t.leaves)-1 && t.leaves[n].until(to) == t.leaves[n].len() {
		taken(t.leaves[n], 0, t.leaves[n].len())
		n++
	}
	t.dropLeaves(n)
	l := t.leaves[0]
	if n = l.until(to); n == 0 {
		return
	}
	taken(l, 0, n)
	t.cutFirst(n)
	for k := range t.levels { // what is summed up of the leaf is less now
		block := t.block(k, t.first>>(k*fanoutBits))
		for j := range block {
			if k == 0 {
				block[j] = t.leafState(t.first, j)
			} else {
				block[j] = t.blockState(k, t.first>>(k*fanoutBits), j)
			}
		}
	}
}

// cutFirst drops the first n events of the first leaf.
func (t *tree) cutFirst(n int) {
	l := t.leaves[0]
	t.leaves[0], t.starts[0] = l.cut(n, l.len()), math.MaxInt64
	if n < l.len() {
		t.starts[0] = l.times[n]
	}
}

// spare reports whether nobody needs leaf n, which is the oldest.
func (t *tree) spare(n int, from feature.Time) bool {
	if t.shape.latest {
		return t.starts[n+1] <= from
	}
	l := t.leaves[n]
	return l.times[l.len()-1] <= from
}

// trim drops the old events of an only leaf when they are half of it.
func (t *tree) trim(from feature.Time) int {
	l := t.leaves[0]
	n := l.len()
	if n < max(t.shape.leaf/8, 2) || l.times[n/2] > from {
		return 0
	}
	old := l.until(from)
	if t.shape.latest {
		old--
	}
	t.cutFirst(old)
	return old
}

// at returns the newest event with event_time ≤ hi: its leaf and its place there, or nil.
func (t *tree) at(hi feature.Time) (*leaf, int) {
	n := t.lastFrom(hi)
	if n < 0 {
		return nil, 0
	}
	return t.leaves[n], t.leaves[n].until(hi) - 1
}

// lastFrom returns the last leaf that has an event at or before hi, or -1.
func (t *tree) lastFrom(hi feature.Time) int {
	n := len(t.starts)
	if n > 0 && t.starts[n-1] == math.MaxInt64 {
		n-- // no events: nothing to go by
	}
	return lastUntil(t.starts[:n], hi)
}

// lastUntil returns the index of the last of times, which are ordered, that is at or before hi, or -1. Events often come at
// an even pace, so it tries where hi would be then; it halves what is left as well, so that it never takes long.
func lastUntil(times []feature.Time, hi feature.Time) int {
	a, b := 0, len(times)-1
	switch {
	case b < 0 || times[0] > hi:
		return -1
	case times[b] <= hi:
		return b
	}
	for b-a > 1 { // times[a] ≤ hi < times[b]
		even := a + int((float64(hi)-float64(times[a]))/(float64(times[b])-float64(times[a]))*float64(b-a))
		for _, at := range [...]int{even, even + 1, (a + b) / 2} {
			switch {
			case at <= a || at >= b:
			case times[at] <= hi:
				a = at
			default:
				b = at
			}
		}
	}
	return a
}

// span is the events between two instants: from place i of leaf a up to, and without, place j of leaf b.
type span struct{ a, i, b, j int }

// span returns the events with lo < event_time ≤ hi.
func (t *tree) span(lo, hi feature.Time) (s span, some bool) {
	if s.b = t.lastFrom(hi); s.b < 0 {
		return s, false
	}
	s.j = t.leaves[s.b].until(hi)
	if s.a = max(t.lastFrom(lo), 0); t.starts[s.a] <= lo {
		s.i = t.leaves[s.a].until(lo)
	}
	return s, s.a < s.b || s.a == s.b && s.i < s.j
}

// fold adds the events of s to the states of measures, in their order.
func (t *tree) fold(into []agg.State, measures []int, s span) {
	add := func(leaf, i, j int) {
		for _, m := range measures {
			t.shape.measures[m].addRange(into[m], t.leaves[leaf], i, j)
		}
	}
	if s.a == s.b {
		add(s.a, s.i, s.j)
		return
	}
	from, to, part := t.whole(s)
	if s.i > 0 {
		add(s.a, s.i, t.leaves[s.a].len())
	}
	t.blocks(from, to, func(level, number int) {
		block := t.block(level, number)
		for _, m := range measures {
			into[m].Merge(block[m])
		}
	})
	if part {
		add(s.b, 0, s.j)
	}
}

// whole returns the numbers of the leaves that s has all of, from up to, and without, to, and whether it has a part of the
// one behind them.
func (t *tree) whole(s span) (from, to int, part bool) {
	from, to = t.first+s.a, t.first+s.b+1
	if s.i > 0 {
		from++
	}
	if part = s.b == len(t.leaves)-1 || s.j < t.leaves[s.b].len(); part {
		to--
	}
	return from, to, part
}

// blocks visits the greatest blocks that leaves from up to, and without, to are made of.
func (t *tree) blocks(from, to int, visit func(level, number int)) {
	for from < to {
		k := min(bits.TrailingZeros(uint(from)), bits.Len(uint(to-from))-1) / fanoutBits
		k = min(k, len(t.levels)-1)
		visit(k, from>>(k*fanoutBits))
		from += 1 << (k * fanoutBits)
	}
}

// bytes returns about how much memory the tree takes.
func (t *tree) bytes() int64 {
	n := int64(treeBytes)
	for _, l := range t.leaves {
		n += l.bytes()
	}
	for _, states := range t.levels {
		n += int64(len(states)) * stateSize
	}
	return n
}

// Sizes in memory; a state takes about that for the operators of numbers.
const (
	treeBytes = 96
	stateSize = 64
)
