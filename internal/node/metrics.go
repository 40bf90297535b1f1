package node

import "github.com/prometheus/client_golang/prometheus"

// collectors are the node's own metrics: positions, lag and freshness.
func (n *Node) collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "lockstep", Name: name, Help: help}, value)
	}
	out := []prometheus.Collector{
		gauge("offline_watermark_sequence", "Log sequence that ClickHouse covers.", func() float64 { return float64(n.covered.Watermark().Seq) }),
		gauge("offline_lag_seconds", "For how long ClickHouse has been behind the log.", func() float64 { return n.historyLag.behind().Seconds() }),
		gauge("log_head_sequence", "Last sequence of the log.", func() float64 { return float64(n.head.last()) }),
		gauge("log_full_ratio", "Share of the log that is full.", n.head.full),
		gauge("registry_revision", "Revision of the definitions in use.", func() float64 { return float64(n.registry.Catalog().Revision) }),
	}
	if n.ids != nil {
		out = append(out, copies{n})
	}
	if n.online != nil {
		out = append(out,
			gauge("replica_sequence", "Log sequence that the replica has applied.", func() float64 { return float64(n.online.Position().Seq) }),
			gauge("replica_lag_seconds", "For how long the replica has been behind the log.", func() float64 { return n.lag.behind().Seconds() }),
			freshness{n},
		)
	}
	return out
}

// freshness tells each view's clock: the event time up to which the replica knows it (rule C4).
type freshness struct{ *Node }

var (
	clockDesc = prometheus.NewDesc("lockstep_view_clock_timestamp_seconds", "Event time of the newest event that the replica knows of a view.", []string{"view"}, nil)
	keysDesc  = prometheus.NewDesc("lockstep_view_keys", "Keys of a view in the replica, about.", []string{"view"}, nil)
)

// Describe sends the descriptions of the metrics.
func (f freshness) Describe(ch chan<- *prometheus.Desc) { ch <- clockDesc; ch <- keysDesc }

// Collect sends a clock and a number of keys for each view that has events.
func (f freshness) Collect(ch chan<- prometheus.Metric) {
	for _, v := range f.online.Stats().Views {
		ch <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(v.Keys), v.View.String())
		if v.HasClock {
			ch <- prometheus.MustNewConstMetric(clockDesc, prometheus.GaugeValue, float64(v.Clock)/1e6, v.View.String())
		}
	}
}

// copies tells what was left out of each source because it is a copy of an event (rule E1).
type copies struct{ *Node }

var (
	duplicatesDesc = prometheus.NewDesc("lockstep_source_duplicates_total", "Rows left out as copies of events: those pushed through this process, and those of imports.", []string{"source"}, nil)
	conflictsDesc  = prometheus.NewDesc("lockstep_source_conflicts_total", "Duplicates that differ from their event.", []string{"source"}, nil)
)

// Describe sends the descriptions of the metrics.
func (c copies) Describe(ch chan<- *prometheus.Desc) { ch <- duplicatesDesc; ch <- conflictsDesc }

// Collect sends two counters for each source with an id.
func (c copies) Collect(ch chan<- prometheus.Metric) {
	for source, n := range c.ids.Counts() {
		ch <- prometheus.MustNewConstMetric(duplicatesDesc, prometheus.CounterValue, float64(n.Duplicates), source)
		ch <- prometheus.MustNewConstMetric(conflictsDesc, prometheus.CounterValue, float64(n.Conflicts), source)
	}
}
