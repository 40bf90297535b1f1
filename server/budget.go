package server

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/feature"
)

// What a request is reckoned to hold in memory, in bytes. The numbers are rough and on the high side: they are
// there so that many requests at a time cannot exceed the budget by much, not to account for every byte.
const (
	bodyCost   = 4         // for each byte of a body: itself, its parts, and what is made of them
	rowCost    = 128       // for each row of a push, besides its bytes
	placeCost  = 40        // for each value of a pushed row
	cellCost   = 160       // for each value of an online read: the cell and its text, or, of an input, what is read and what is made of it
	traceCost  = 256 << 10 // for each feature of an explanation: a thousand events of either path
	streamCost = 16 << 20  // of a stream of JSON lines, in chunks
	tableCost  = 64 << 20  // of a training set, an import or a query: a few batches of rows

	minBudget = 16 << 20
)

// budget is the memory that requests may hold together.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take returns false, and takes nothing, when n bytes more are too many.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// charged is the key under which a request's context remembers what it took from the budget.
const charged = "charged"

// charge takes n bytes from the budget until the request ends. It fails with CodeTooLarge when the request can
// never have them, and with CodeUnavailable when others have them now.
func (s *Server) charge(c *gin.Context, n int64) error {
	held := c.GetInt64(charged)
	if held+n > s.budget.limit {
		return feature.Errorf(feature.CodeTooLarge, "the request needs about %d bytes of memory, more than the %d that all requests together may have: send less at a time", held+n, s.budget.limit)
	}
	if !s.budget.take(n) {
		s.metrics.shed.WithLabelValues("memory").Inc()
		return feature.Errorf(feature.CodeUnavailable, "the server has no memory for this request now: try again later")
	}
	c.Set(charged, held+n)
	return nil
}

// chargeRows takes what rows of a source need besides their bytes; src may be nil.
func (s *Server) chargeRows(c *gin.Context, rows int, src *feature.Source) error {
	cost := int64(rowCost)
	if src != nil {
		cost += placeCost * int64(len(src.Columns))
	}
	return s.charge(c, cost*int64(rows))
}

// refund gives back n of the bytes that the request was charged.
func (s *Server) refund(c *gin.Context, n int64) {
	s.budget.give(n)
	c.Set(charged, c.GetInt64(charged)-n)
}

// chargeTable takes what a request that moves whole tables needs, or a quarter of a small budget.
func (s *Server) chargeTable(c *gin.Context, cost int64) error {
	return s.charge(c, min(cost, s.budget.limit/4))
}

// release gives back what the request was charged.
func (s *Server) release(c *gin.Context) {
	if held := c.GetInt64(charged); held > 0 {
		s.budget.give(held)
	}
}

// memoryLimit returns how many bytes this process may use: GOMEMLIMIT, else the cgroup's limit or the machine's
// memory, whichever is less; 4 GiB when nothing tells.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	limit := int64(4 << 30)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if kib, ok := meminfoTotal(b); ok {
			limit = kib << 10
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil { // "max" is no number
			limit = min(limit, n)
		}
	}
	return limit
}

func meminfoTotal(b []byte) (kib int64, ok bool) {
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "MemTotal:"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kib, err == nil
		}
	}
	return 0, false
}
