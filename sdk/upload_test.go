package sdk_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestBusyUploads: a file that a busy server did not begin to read is sent again, whole, and never one that it did.
func TestBusyUploads(t *testing.T) {
	file := strings.Repeat("0123456789abcdef\n", 1<<16)
	for _, tc := range []struct {
		name           string
		busy, read     int // refusals; bytes read before each
		cfg            sdk.Config
		calls, waiting int
		want           error
	}{
		{"patient", 4, 0, sdk.Config{Retries: 1, Patience: time.Minute}, 5, 4, nil},
		{"retries", 3, 0, sdk.Config{}, 4, 3, nil},
		{"gives up", 3, 0, sdk.Config{Retries: 2}, 3, 2, feature.ErrOverloaded},
		{"begun", 1, 1, sdk.Config{Patience: time.Minute}, 1, 0, feature.ErrOverloaded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			calls, waiting, got := 0, 0, ""
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls <= tc.busy {
					_, _ = io.ReadFull(r.Body, make([]byte, tc.read))
					http.Error(w, "busy", http.StatusTooManyRequests)
					return
				}
				text, err := io.ReadAll(r.Body)
				if got = string(text); err == nil {
					_, _ = io.WriteString(w, `{"result":{"rows":2}}`)
				}
			}))
			t.Cleanup(web.Close)
			tc.cfg.Waiting = func(reason error, pause time.Duration) {
				if waiting++; !errors.Is(reason, feature.ErrOverloaded) || pause <= 0 {
					t.Errorf("waiting %s for %v", pause, reason)
				}
			}
			c, err := sdk.Open(web.URL, tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			r, err := c.Import(t.Context(), sdk.ImportRequest{Source: "flights", File: strings.NewReader(file), Format: "csv"}, nil)
			if !errors.Is(err, tc.want) || calls != tc.calls || waiting != tc.waiting {
				t.Fatalf("%v after %d calls, waiting %d times; want %v, %d, %d", err, calls, waiting, tc.want, tc.calls, tc.waiting)
			}
			if err == nil && (r.Rows != 2 || got != file) {
				t.Errorf("%d bytes of %d arrived, %d rows", len(got), len(file), r.Rows)
			}
		})
	}
}

// TestTurns: an import that has its answer has left its place to the next one.
func TestTurns(t *testing.T) {
	c := open(t, &backend{}, sdk.Config{Retries: -1})
	for i := range 200 {
		req := sdk.ImportRequest{Source: "flights", File: strings.NewReader("a\n"), Format: "csv"}
		if _, err := c.Import(t.Context(), req, nil); err != nil {
			t.Fatalf("import %d, one after the other, where one at a time is served: %v", i, err)
		}
	}
}
