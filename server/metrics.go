package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lockstepfs/lockstep/feature"
)

// metrics are the server's own, in a registry with those of the other parts.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	rows     *prometheus.CounterVec
	values   [4]prometheus.Counter // by feature.Status
	events   *prometheus.CounterVec
	shed     *prometheus.CounterVec
}

func newMetrics(others []prometheus.Collector) (*metrics, error) {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lockstep_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5, 30, 300},
		}, []string{"route", "method", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_http_requests_in_flight", Help: "Requests being served."}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_online_rows_total", Help: "Keys answered, by the path that answered.",
		}, []string{"path"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_event_rows_total", Help: "Rows pushed, by what became of them.",
		}, []string{"outcome"}),
	}
	m.shed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_http_requests_shed_total", Help: "Requests refused because of load: by the class that was full, or memory.",
	}, []string{"limit"})
	values := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_online_values_total", Help: "Values answered, by status.",
	}, []string{"status"})
	for i := range m.values {
		m.values[i] = values.WithLabelValues(feature.Status(i).String())
	}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	own := []prometheus.Collector{
		m.duration, m.inFlight, m.rows, m.events, m.shed, values,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, c := range append(own, others...) {
		if err := m.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// observe records one request. The labels are from small sets, whatever clients send.
func (m *metrics) observe(c *gin.Context, took time.Duration) {
	route, method := c.FullPath(), c.Request.Method
	if route == "" {
		route = "unmatched"
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, http.MethodPatch:
	default:
		method = "other"
	}
	status := strconv.Itoa(c.Writer.Status())
	if c.GetBool(cutOff) {
		status = cutOff
	}
	m.duration.WithLabelValues(route, method, status).Observe(took.Seconds())
}

func (s *Server) serveMetrics(c *gin.Context) error {
	s.metrics.handler.ServeHTTP(c.Writer, c.Request)
	return nil
}
