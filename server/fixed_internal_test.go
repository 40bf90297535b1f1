package server

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFixedLimitsAreDocumented: what docs/configuration.md says is fixed is what it is here.
func TestFixedLimitsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| depth of JSON | %d levels |", maxDepth),
		fmt.Sprintf("| one line in a stream of JSON lines | %d MiB |", maxLine>>20),
		fmt.Sprintf("| header of a request | %d KiB, %d s |", headerBytes>>10, int(headerTime.Seconds())),
		fmt.Sprintf("| dead letters of one answer | %d,000 |", maxLetters/1000),
		fmt.Sprintf("| features of one read or training set that are asked for by name | %d,000 |", maxFeatures/1000),
		fmt.Sprintf("| audit entries of one answer | %d,000 |", maxEntries/1000),
		fmt.Sprintf("| idempotency keys remembered | %d,000, for %d minutes |", maxReplays/1000, int(replayFor.Minutes())),
	} {
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/configuration.md lacks %q", row)
		}
	}
}
