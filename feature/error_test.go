package feature_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// TestHide wraps a hidden error in the ways in which errors are wrapped: callers never see it, logs do.
func TestHide(t *testing.T) {
	refused := errors.New("dial tcp 10.1.2.3:9000: refused")
	hidden := feature.Hide(refused, "ClickHouse cannot be reached")
	inner := feature.Errorf(feature.CodeUnavailable, "read the watermark: %w", hidden)
	for _, tc := range []struct {
		err          error
		public, full string
	}{
		{hidden, "ClickHouse cannot be reached", "ClickHouse cannot be reached: dial tcp 10.1.2.3:9000: refused"},
		{inner, "read the watermark: ClickHouse cannot be reached", "read the watermark: ClickHouse cannot be reached: dial tcp 10.1.2.3:9000: refused"},
		{fmt.Errorf("wait: %w", inner), "wait: read the watermark: ClickHouse cannot be reached", "wait: read the watermark: ClickHouse cannot be reached: dial tcp 10.1.2.3:9000: refused"},
		{
			feature.Errorf(feature.CodeOverloaded, "at %d: %w", 7, fmt.Errorf("wait: %w", inner)),
			"at 7: wait: read the watermark: ClickHouse cannot be reached",
			"at 7: wait: read the watermark: ClickHouse cannot be reached: dial tcp 10.1.2.3:9000: refused",
		},
		{feature.Errorf(feature.CodeInvalid, "no %s", "such thing"), "no such thing", "no such thing"},
	} {
		if got := feature.Public(tc.err); got != tc.public {
			t.Errorf("Public = %q, want %q", got, tc.public)
		}
		if got := tc.err.Error(); got != tc.full {
			t.Errorf("Error = %q, want %q", got, tc.full)
		}
		if e, ok := errors.AsType[*feature.Error](tc.err); ok && errors.Is(tc.err, refused) != (tc.public != tc.full) {
			t.Errorf("%v: the cause is lost", e)
		}
	}
}
