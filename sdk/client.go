package sdk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Client. The zero value works for a server on loopback.
type Config struct {
	Token      string        // bearer token; needed for a server that does not listen on loopback
	TLS        *tls.Config   // for https; default the system's authorities; not used with HTTPClient
	HTTPClient *http.Client  // default a client of its own; it must not set Timeout, which would cut streams off
	Timeout    time.Duration // of a call that is not a stream, repetitions included; default 30 s
	Retries    int           // repetitions of a call that may be repeated; default 3; negative for none
	Patience   time.Duration // for how long such a call is repeated beyond Retries, within Timeout, while the server says that it is busy (429); default 0
	UserAgent  string        // default lockstep-go

	// Waiting, if not nil, is told before each repetition why it is needed and after what pause it comes.
	Waiting func(reason error, pause time.Duration)
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.Retries = max(cmp.Or(c.Retries, 3), 0)
	c.UserAgent = cmp.Or(c.UserAgent, "lockstep-go")
	if c.HTTPClient == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone() // the standard library says what it is
		transport.MaxIdleConnsPerHost = 64
		transport.DisableCompression = true
		transport.ExpectContinueTimeout = 5 * time.Second // a file is not sent before a server that is busy has refused it
		if c.TLS != nil {
			transport.TLSClientConfig = c.TLS.Clone()
		}
		c.HTTPClient = &http.Client{Transport: transport}
	}
	return c
}

// Client talks to one server. Make one with Open.
type Client struct {
	base string // URL without a slash at the end
	cfg  Config
}

// Open returns a client for the server at base, such as http://127.0.0.1:7600. It does not connect.
func Open(base string, cfg Config) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, feature.Errorf(feature.CodeInvalid, "%q is not the URL of a server: expected something like http://127.0.0.1:7600", base)
	}
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, feature.Errorf(feature.CodeInvalid, "the token has a blank or a character that no header takes: expected printable ASCII")
	}
	return &Client{base: strings.TrimRight(base, "/"), cfg: cfg.withDefaults()}, nil
}

// Close drops idle connections. Calls under way are not disturbed.
func (c *Client) Close() error {
	c.cfg.HTTPClient.CloseIdleConnections()
	return nil
}

// call is one request.
type call struct {
	method string
	path   string // filled in
	query  url.Values
	media  string    // of the body
	body   []byte    // of a call that may be repeated
	stream io.Reader // instead of body: read once, so the call is repeated only if nothing was read
	upload *upload   // the stream in this attempt
	key    string    // idempotency key
	repeat bool      // the call may be made twice
}

// again reports whether the call may be made once more after an attempt that failed.
func (k call) again() bool { return k.repeat || k.upload != nil && k.upload.withdraw() }

// json makes the call and decodes the answer into out.
func (c *Client) json(ctx context.Context, k call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.unreachable(ctx, k, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", k.method, k.path, err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.json(ctx, call{method: http.MethodGet, path: path, query: query, repeat: true}, out)
}

// post returns the call that sends body as JSON.
func post(path string, body any) (call, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return call{}, feature.Errorf(feature.CodeInvalid, "encode the request: %w", err)
	}
	return call{method: http.MethodPost, path: path, media: api.MediaJSON, body: b}, nil
}

// do makes the call, repeating it where it may, and returns an answer with status 200, whose body the caller
// closes, or an error.
func (c *Client) do(ctx context.Context, k call) (*http.Response, error) {
	start := time.Now()
	for attempt := 0; ; attempt++ {
		if k.stream != nil {
			k.upload = &upload{stream: k.stream}
		}
		resp, pause, err := c.once(ctx, k)
		if err == nil {
			return resp, nil
		}
		busy := errors.Is(err, feature.ErrOverloaded)
		passing := busy || errors.Is(err, feature.ErrUnavailable)
		more := attempt < c.cfg.Retries || busy && time.Since(start) < c.cfg.Patience
		if !passing || !more || !k.again() {
			return nil, err
		}
		pause = backoff(attempt, pause)
		if c.cfg.Waiting != nil {
			c.cfg.Waiting(err, pause)
		}
		if !sleep(ctx, pause) {
			return nil, err
		}
	}
}

// maxPause is the longest pause between two attempts, whatever the server asks for.
const maxPause = 5 * time.Second

// backoff returns how long to wait after an attempt: what the server asks for, else 50 ms, 100 ms, 200 ms, ...
// with up to as much again at random, so that many clients do not come back at once.
func backoff(attempt int, asked time.Duration) time.Duration {
	if asked > 0 {
		return min(asked, maxPause)
	}
	d := min(50*time.Millisecond<<min(attempt, 10), maxPause/2)
	return d + rand.N(d)
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bigBody is the size from which a body is only sent when the server asks for it.
const bigBody = 1 << 20

// once makes one attempt. pause is what the server asks for before the next one.
func (c *Client) once(ctx context.Context, k call) (resp *http.Response, pause time.Duration, err error) {
	target := c.base + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var body io.Reader
	switch {
	case k.upload != nil:
		body = k.upload
	case k.body != nil:
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, 0, feature.Errorf(feature.CodeInvalid, "make the request: %w", err)
	}
	if k.upload != nil {
		req.ContentLength = k.upload.length()
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if k.media != "" {
		req.Header.Set("Content-Type", k.media)
	}
	if k.key != "" {
		req.Header.Set(api.HeaderIdempotencyKey, k.key)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if k.upload != nil || len(k.body) > bigBody {
		req.Header.Set("Expect", "100-continue") // a server that refuses the request says so before the body is sent
	}
	resp, err = c.cfg.HTTPClient.Do(req)
	if err != nil {
		return nil, 0, c.unreachable(ctx, k, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, 0, nil
	}
	defer resp.Body.Close()
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // absent or a date: 0
	return nil, time.Duration(max(seconds, 0)) * time.Second, failure(k, resp)
}

// unreachable makes an Error of a failed connection, unless it was the caller who gave up.
func (c *Client) unreachable(ctx context.Context, k call, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", k.method, k.path, ctx.Err())
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return feature.Errorf(feature.CodeUnavailable, "reach %s: %w", c.base, err)
}

// failure reads the error of an answer.
func failure(k call, resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	var body api.ErrorBody
	if err == nil && json.Unmarshal(b, &body) == nil && body.Error != nil && body.Error.Code != "" {
		return body.Error
	}
	text := strings.TrimSpace(string(b[:min(len(b), 200)]))
	return feature.Errorf(codeOf(resp.StatusCode), "%s %s: the server answered %s: %s", k.method, k.path, resp.Status, text)
}

// codeOf returns the code for an answer without a body of ours, such as a proxy's.
func codeOf(status int) feature.Code {
	switch status {
	case http.StatusUnauthorized:
		return api.CodeUnauthorized
	case http.StatusForbidden:
		return api.CodeForbidden
	case http.StatusNotFound:
		return feature.CodeNotFound
	case http.StatusConflict:
		return feature.CodeConflict
	case http.StatusRequestEntityTooLarge:
		return feature.CodeTooLarge
	case http.StatusTooManyRequests:
		return feature.CodeOverloaded
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return feature.CodeUnavailable
	}
	if status < 500 {
		return feature.CodeInvalid
	}
	return feature.CodeInternal
}

// lines reads the answer of a long operation: progress, then the result or an error.
func lines[T any](ctx context.Context, c *Client, k call, progress func(api.Progress)) (*T, error) {
	resp, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line api.Line[T]
		switch err := dec.Decode(&line); {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%s %s: %w", k.method, k.path, ctx.Err())
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, feature.Errorf(feature.CodeUnavailable, "%s %s: the answer was cut off before its result", k.method, k.path)
		case err != nil:
			return nil, feature.Errorf(feature.CodeUnavailable, "read the answer to %s %s: %w", k.method, k.path, err)
		case line.Error != nil:
			return nil, line.Error
		case line.Result != nil:
			return line.Result, nil
		case line.Progress != nil && progress != nil:
			progress(*line.Progress)
		}
	}
}
