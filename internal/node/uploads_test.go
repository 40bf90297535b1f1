package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lockstepfs/lockstep/internal/node"
)

// TestUploadsLeftBehind: files that clients were sending to a process that was killed are removed by the next.
func TestUploadsLeftBehind(t *testing.T) {
	data := t.TempDir()
	left := filepath.Join(data, "uploads", "half")
	if err := os.MkdirAll(filepath.Dir(left), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("a,b\n1,"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Config{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an upload of an earlier process is still there: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
