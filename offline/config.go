package offline

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Store. One of URL and Dial is needed.
type Config struct {
	URL      string                                                   // of a server: clickhouse://, http:// or https://, with user, password and options as clickhouse-go reads them
	Dial     func(ctx context.Context, addr string) (net.Conn, error) // leads to the embedded engine, which speaks HTTP
	TLS      *tls.Config                                              // for a URL that asks for TLS: https://, or clickhouse:// with secure=true; nil trusts the system's authorities
	Database string                                                   // default: the path of URL, else lockstep
	Logger   *slog.Logger                                             // default: discard

	Connections int // most connections at a time; default 16. A training set holds one for each view and role, and one more
	// JoinRows is how many events of a source a training set may hold in ClickHouse's memory, some 100 bytes each; default
	// 30,000,000. Above it events stream past the spine, which takes more processor time and memory for the spine alone.
	JoinRows int
	// MapValues is about how many values a training set may hold in ClickHouse's memory for windows of top_k and approx_quantile,
	// some 30 bytes each; default 30,000,000. A set that has more is computed in pieces, one after the other.
	MapValues int
	ChunkRows int // rows of a batch that a training set yields; default 16,384

	Patience time.Duration // how long ClickHouse may take for a small answer that somebody waits for; default 15 s
}

func (c Config) withDefaults() Config {
	c.Connections = cmp.Or(c.Connections, 16)
	c.ChunkRows = cmp.Or(c.ChunkRows, 16384)
	c.Patience = cmp.Or(c.Patience, 15*time.Second)
	c.JoinRows = cmp.Or(c.JoinRows, 30_000_000)
	c.MapValues = cmp.Or(c.MapValues, 30_000_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// schemes are those of a URL: native, and HTTP.
var schemes = []string{"clickhouse", "http", "https"}

// longestQuery bounds how long the driver waits for the next bytes of an answer; contexts end queries earlier.
const longestQuery = 24 * time.Hour

// longestSQL is the most bytes of a query: views may have many windows.
const longestSQL = 8 << 20

// options are what the driver needs; the database is set already.
func (c *Config) options() (*clickhouse.Options, error) {
	var o *clickhouse.Options
	switch {
	case c.Dial != nil:
		o = &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{"engine"}, DialContext: c.Dial}
	case c.URL == "":
		return nil, feature.Errorf(feature.CodeInvalid, "no ClickHouse is configured: give a URL or embed the engine")
	default:
		parsed, err := clickhouse.ParseDSN(c.URL)
		if scheme, _, _ := strings.Cut(c.URL, "://"); err != nil || !slices.Contains(schemes, scheme) {
			return nil, feature.Errorf(feature.CodeInvalid, "the ClickHouse URL cannot be read: expected clickhouse://HOST:9000, http://HOST:8123 or https://HOST:8443")
		}
		o = parsed
		if o.Compression == nil && o.Protocol == clickhouse.Native {
			o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
		}
	}
	if o.TLS != nil && c.TLS != nil {
		o.TLS.RootCAs, o.TLS.Certificates = c.TLS.RootCAs, c.TLS.Certificates
	}
	if inURL := strings.TrimSpace(o.Auth.Database); c.Database == "" && inURL != "" {
		c.Database = inURL
	}
	c.Database = cmp.Or(c.Database, "lockstep")
	o.Auth.Database = c.Database
	o.MaxOpenConns, o.MaxIdleConns = c.Connections, c.Connections
	o.ConnMaxLifetime = 10 * time.Minute
	o.ReadTimeout = longestQuery
	if o.Settings == nil {
		o.Settings = clickhouse.Settings{}
	}
	maps.Copy(o.Settings, map[string]any{
		"async_insert": 0, "max_partitions_per_insert_block": 0, "max_query_size": longestSQL, "cancel_http_readonly_queries_on_client_close": 1,
		// A training set leaves the answers of some queries while others compute.
		"send_timeout": int(longestQuery / time.Second),
		// Compiled, max and min over DateTime64 take instants before 1970 for late ones (seen in 26.7.3, from the fourth query on).
		"compile_aggregate_expressions": 0,
	})
	return o, nil
}
