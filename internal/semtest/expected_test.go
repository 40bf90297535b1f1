package semtest_test

import (
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// expectedFile returns a file with values that others computed, or with what they are of. Such files are not ours to
// publish, so a plain clone lacks them; LOCKSTEP_EXPECTED names their folder and says that they must be there.
func expectedFile(t *testing.T, path ...string) string {
	t.Helper()
	dir, demanded := os.LookupEnv("LOCKSTEP_EXPECTED")
	file := filepath.Join(append([]string{dir}, path...)...)
	if !demanded {
		t.Skipf("the expected values are not part of the repository: set LOCKSTEP_EXPECTED to the folder that holds %s", file)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("LOCKSTEP_EXPECTED is set, but: %v", err)
	}
	return file
}

// expectedRows yields the rows of such a file, in chunks; types are those of columns that cannot be told from the file.
func expectedRows(t *testing.T, types map[string]feature.Type, path ...string) iter.Seq[*feature.Batch] {
	return tableRows(t, types, expectedFile(t, path...))
}

// tableRows yields the rows of a Parquet file.
func tableRows(t *testing.T, types map[string]feature.Type, file string) iter.Seq[*feature.Batch] {
	return func(yield func(*feature.Batch) bool) {
		r, err := rowfile.Open(file, rowfile.Parquet, types)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(b) {
				return
			}
		}
	}
}
