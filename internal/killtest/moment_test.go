package killtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// moment is when something is killed: after a time, or aimed.
type moment struct {
	kind  momentKind
	after time.Duration // from now, for atTime
	count int           // of what the others wait for
	table string        // of atPart and atToken
}

type momentKind int

const (
	atTime  momentKind = iota
	atAck              // right after so many more batches were acknowledged
	atPart             // right after so many more parts were written into the table: in the middle of an insert
	atToken            // right after so many more parts were entered into the table's list of what was inserted, which is before they are there
)

// longestAim bounds how long an aimed moment waits for its target.
const longestAim = 3 * time.Second

func drawMoment(rng *rand.Rand) moment {
	m := moment{
		kind: momentKind(rng.IntN(4)), after: time.Duration(rng.IntN(2000)) * time.Millisecond,
		count: 1 + rng.IntN(2*months), table: "events_" + sources()[rng.IntN(2)],
	}
	if m.kind == atAck {
		m.count = 1 + rng.IntN(30)
	}
	return m
}

func (m moment) String() string {
	switch m.kind {
	case atAck:
		return fmt.Sprintf("after %d acknowledgements", m.count)
	case atPart:
		return fmt.Sprintf("after %d parts of %s", m.count, m.table)
	case atToken:
		return fmt.Sprintf("after %d tokens of %s", m.count, m.table)
	default:
		return "after " + m.after.String()
	}
}

// wait returns at the moment, or when it does not come. folders has the folders of the tables.
func (m moment) wait(ctx context.Context, b *book, folders map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, longestAim)
	defer cancel()
	switch m.kind {
	case atAck:
		target := b.acked.Load() + int64(m.count)
		until(ctx, time.Millisecond, func() bool { return b.acked.Load() >= target })
	case atPart:
		seen, fresh := map[string]bool{}, 0
		for _, name := range parts(folders[m.table]) {
			seen[name] = true
		}
		until(ctx, 200*time.Microsecond, func() bool {
			for _, name := range parts(folders[m.table]) {
				if !seen[name] {
					seen[name] = true
					fresh++
				}
			}
			return fresh >= m.count
		})
	case atToken:
		list := filepath.Join(folders[m.table], "deduplication_logs")
		target := tokens(list) + m.count
		until(ctx, 50*time.Microsecond, func() bool { return tokens(list) >= target })
	default:
		pause(ctx, m.after)
	}
}

// parts returns the names of what inserts have written into a table.
func parts(folder string) []string {
	var names []string
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_0") && !strings.HasPrefix(e.Name(), "tmp") { // level 0: not merged
			names = append(names, e.Name())
		}
	}
	return names
}

// tokens returns about how many entries the list has, which is the files in a folder.
func tokens(folder string) int {
	entries, _ := os.ReadDir(folder)
	size := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return int(size / 80)
}
