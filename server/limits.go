package server

import (
	"cmp"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Limits bound what requests may take. A zero field means its default, which DefaultLimits tells; the koanf tags
// are the names in lockstep.yaml, the doc tags the documentation.
type Limits struct {
	BodyBytes   int64 `koanf:"body_bytes" doc:"largest request body that is held in memory; a larger one gets 413"`
	UploadBytes int64 `koanf:"upload_bytes" doc:"largest file or stream of JSON lines in a request; a larger one gets 413"`
	Rows        int   `koanf:"rows" doc:"most rows of one push, or of a spine inside a JSON body; more get 413"`
	Keys        int   `koanf:"keys" doc:"most keys of one online read, and most events of a source that it brings; more get 413"`
	MemoryBytes int64 `koanf:"memory_bytes" doc:"memory that requests may hold together; above it new work gets 503 (default: a quarter of GOMEMLIMIT, else of what the cgroup or the machine has)"`
	Connections int   `koanf:"connections" doc:"most connections; further ones wait until one ends"`

	StallTime  time.Duration `koanf:"stall_time" doc:"longest wait for a client to send or take the next bytes, and between two requests of a connection"`
	DrainDelay time.Duration `koanf:"drain_delay" doc:"at shutdown, how long requests are still taken while readyz already says 503, for load balancers to turn away (dev: none)"`
	DrainTime  time.Duration `koanf:"drain_time" doc:"at shutdown, how long requests under way may go on before they are cut off"`

	Read    ClassLimits `koanf:"read" doc:"online reads, descriptions, status"`
	Write   ClassLimits `koanf:"write" doc:"pushes"`
	Train   ClassLimits `koanf:"train" doc:"training sets"`
	Import  ClassLimits `koanf:"import" doc:"imports"`
	Query   ClassLimits `koanf:"query" doc:"SQL"`
	Explain ClassLimits `koanf:"explain" doc:"explanations of reads"`
	Operate ClassLimits `koanf:"operate" doc:"plan, apply, materialize, verify and other operations"`
}

// ClassLimits bound the requests of one class.
type ClassLimits struct {
	Concurrency int           `koanf:"concurrency" doc:"requests at a time; more get 429"`
	Time        time.Duration `koanf:"time" doc:"longest time of one request; a longer one gets 503 or is cut off"`
}

// DefaultLimits returns what zero fields mean. MemoryBytes depends on the machine and is 0 here.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes: 32 << 20, UploadBytes: 64 << 30, Rows: 100_000, Keys: 10_000, Connections: 4096,
		StallTime: time.Minute, DrainTime: 15 * time.Second,
		Read:    ClassLimits{512, 30 * time.Second},
		Write:   ClassLimits{256, 5 * time.Minute},
		Train:   ClassLimits{4, time.Hour},
		Import:  ClassLimits{2, 24 * time.Hour},
		Query:   ClassLimits{4, time.Minute},
		Explain: ClassLimits{4, time.Minute},
		Operate: ClassLimits{8, time.Hour},
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.BodyBytes = cmp.Or(l.BodyBytes, d.BodyBytes)
	l.UploadBytes = cmp.Or(l.UploadBytes, d.UploadBytes)
	l.Rows = cmp.Or(l.Rows, d.Rows)
	l.Keys = cmp.Or(l.Keys, d.Keys)
	l.Connections = cmp.Or(l.Connections, d.Connections)
	l.StallTime = cmp.Or(l.StallTime, d.StallTime)
	l.DrainTime = cmp.Or(l.DrainTime, d.DrainTime)
	if l.MemoryBytes == 0 {
		l.MemoryBytes = max(minBudget, memoryLimit()/4)
	}
	for _, class := range api.Classes() {
		of, def := l.class(class), *d.class(class)
		of.Concurrency, of.Time = cmp.Or(of.Concurrency, def.Concurrency), cmp.Or(of.Time, def.Time)
	}
	return l
}

func (l Limits) validate() error {
	bad := l.BodyBytes < 0 || l.UploadBytes < 0 || l.Rows < 0 || l.Keys < 0 || l.MemoryBytes < 0 || l.Connections < 0 ||
		l.StallTime < 0 || l.DrainDelay < 0 || l.DrainTime < 0
	for _, name := range api.Classes() {
		c := l.class(name)
		bad = bad || c.Concurrency < 0 || c.Time < 0
	}
	if bad {
		return feature.Errorf(feature.CodeInvalid, "a limit is negative")
	}
	return nil
}

// class returns the limits of a class, which is one of api.Classes.
func (l *Limits) class(c api.Class) *ClassLimits {
	switch c {
	case api.ClassRead:
		return &l.Read
	case api.ClassWrite:
		return &l.Write
	case api.ClassTrain:
		return &l.Train
	case api.ClassImport:
		return &l.Import
	case api.ClassQuery:
		return &l.Query
	case api.ClassExplain:
		return &l.Explain
	default:
		return &l.Operate
	}
}

// What is fixed.
const (
	headerTime  = 10 * time.Second // for a request's header, and for a TLS handshake
	headerBytes = 64 << 10         // of a request's header
	openTime    = 10 * time.Second // of health, readiness, metrics and the description of the server
)
