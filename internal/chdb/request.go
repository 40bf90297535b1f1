package chdb

import (
	"cmp"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxQuery bounds the text of one statement, which is held in memory: rows come as the body of an INSERT instead.
const maxQuery = 256 << 20

// request is what the driver wants, taken from its HTTP request.
type request struct {
	database string
	id       string
	format   string
	query    string // from the URL; the body is the statement when empty
	settings []param
	params   []param
	whole    bool // the answer begins when the statement has ended
	body     io.Reader
	url      url.Values
	http     *http.Request
}

// reserved are the URL parameters that are not settings. quota_key, the user and the like mean nothing here.
func reserved(name string) bool {
	switch name {
	case "query", "database", "query_id", "default_format", "client_protocol_version", "wait_end_of_query", "user", "password",
		"quota_key", "compress", "decompress", "network_compression_method", "network_zstd_compression_level",
		"buffer_size", "session_id", "session_timeout", "session_check", "stacktrace", "role", "close_session":
		return true
	}
	return strings.HasSuffix(name, "_structure") || strings.HasSuffix(name, "_types") || strings.HasPrefix(name, "param_") ||
		strings.HasSuffix(name, "_format") && !settingFormats[name]
}

// settingFormats are the settings whose names look like the format of an external table.
var settingFormats = map[string]bool{
	"http_write_exception_in_output_format": true, "input_format": true, "output_format": true,
	"date_time_input_format": true, "date_time_output_format": true, "interval_output_format": true,
}

func readRequest(r *http.Request) (*request, error) {
	values := r.URL.Query()
	switch {
	case values.Get("compress") == "1" || values.Get("decompress") == "1":
		return nil, refusal(1, "the embedded engine does not compress blocks: leave the driver's Compression unset")
	case values.Get("session_id") != "":
		return nil, refusal(1, "the embedded engine has no sessions")
	}
	q := &request{
		database: values.Get("database"), id: values.Get("query_id"), query: strings.TrimSpace(values.Get("query")),
		format: cmp.Or(values.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated"),
		whole:  values.Get("wait_end_of_query") == "1" || values.Get("wait_end_of_query") == "true",
		url:    values, http: r,
	}
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, param{strings.TrimPrefix(name, "param_"), value})
		case !reserved(name):
			q.settings = append(q.settings, param{name, value})
		}
	}
	var err error
	if q.body, err = plain(r); err != nil {
		return nil, err
	}
	return q, nil
}

// plain is the body without its Content-Encoding.
func plain(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, refusal(354, "read the gzip body: %v", err)
		}
		return body, nil
	case "deflate":
		body, err := zlib.NewReader(r.Body)
		if err != nil {
			return nil, refusal(354, "read the deflate body: %v", err)
		}
		return body, nil
	default:
		return nil, refusal(1, "the embedded engine does not read Content-Encoding %s", encoding)
	}
}

// readQuery is the statement in the body, after what the URL has of it.
func (q *request) readQuery(body io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxQuery+1))
	if err != nil {
		return "", refusal(210, "read the query: %v", err)
	}
	if len(text) > maxQuery {
		return "", refusal(62, "the query is longer than %d bytes: send rows as the body of an INSERT", maxQuery)
	}
	if q.query == "" {
		return string(text), nil
	}
	if len(text) == 0 {
		return q.query, nil
	}
	return q.query + "\n" + string(text), nil
}
