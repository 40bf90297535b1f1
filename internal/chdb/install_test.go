package chdb_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/internal/chdb"
)

// TestFind: in the order of the documentation, and never half a file.
func TestFind(t *testing.T) {
	t.Setenv("LOCKSTEP_ENGINE", "")
	cache := t.TempDir()
	if _, err := chdb.Find(cache); !errors.Is(err, chdb.ErrNotInstalled) || !strings.Contains(err.Error(), "run: lockstep engine install") {
		t.Errorf("Find in an empty cache: %v, want ErrNotInstalled and what to run", err)
	}
	folder := filepath.Join(cache, "engine", chdb.Version)
	write(t, filepath.Join(folder, "libchdb.so"), "half")
	if path, err := chdb.Find(cache); !errors.Is(err, chdb.ErrNotInstalled) {
		t.Errorf("Find without a record = %q, %v, want ErrNotInstalled", path, err)
	}
	write(t, filepath.Join(folder, "install.json"), `{"size": 8}`)
	if path, err := chdb.Find(cache); !errors.Is(err, chdb.ErrNotInstalled) {
		t.Errorf("Find of half a file = %q, %v, want ErrNotInstalled", path, err)
	}
	write(t, filepath.Join(folder, "libchdb.so"), "all of it"[:8])
	want := filepath.Join(folder, "libchdb.so")
	if path, err := chdb.Find(cache); err != nil || path != want {
		t.Errorf("Find = %q, %v, want %q", path, err, want)
	}
	// What is installed is not fetched: there is no npm here.
	t.Setenv("PATH", t.TempDir())
	var progress strings.Builder
	if path, err := chdb.Install(t.Context(), cache, &progress); err != nil || path != want || !strings.Contains(progress.String(), want) {
		t.Errorf("Install = %q, %v, progress %q, want %q", path, err, progress.String(), want)
	}
	other := filepath.Join(t.TempDir(), "other.so")
	t.Setenv("LOCKSTEP_ENGINE", other)
	if _, err := chdb.Find(cache); !errors.Is(err, chdb.ErrNotInstalled) || !strings.Contains(err.Error(), other) {
		t.Errorf("Find with a bad LOCKSTEP_ENGINE: %v", err)
	}
	write(t, other, "x")
	if path, err := chdb.Find(cache); err != nil || path != other {
		t.Errorf("Find with LOCKSTEP_ENGINE = %q, %v, want %q", path, err, other)
	}
	t.Setenv("LOCKSTEP_ENGINE", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := chdb.Open(chdb.Config{Dir: t.TempDir()}); !errors.Is(err, chdb.ErrNotInstalled) {
		t.Errorf("Open without a library: %v, want ErrNotInstalled", err)
	}
}

// TestInstallFailures: each says what is wrong, and leaves nothing behind.
func TestInstallFailures(t *testing.T) {
	t.Setenv("LOCKSTEP_ENGINE", "")
	archive := filepath.Join(t.TempDir(), "package.tgz")
	pack(t, archive)
	for _, tc := range []struct{ name, npm, want string }{
		{"no npm", "", "npm is needed"},
		{"not reachable", "echo 'npm error code E403' >&2; exit 1", "npm error code E403"},
		{"an answer that is none", "echo hello", "it answered"},
		{"no archive", `echo '[{"filename": "x.tgz", "integrity": "sha512-x"}]'`, "0 archives"},
		{"another package", "/bin/cp " + archive + ` "$4"; echo '[{"filename": "package.tgz", "integrity": "sha512-x"}]'`, "is not the package it should be"},
		{"a cut archive", "/usr/bin/head -c 100 " + archive + ` > "$4/package.tgz"; echo '[{"filename": "package.tgz", "integrity": "sha512-x"}]'`, "unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bin, cache := t.TempDir(), t.TempDir()
			t.Setenv("PATH", bin)
			if tc.npm != "" {
				write(t, filepath.Join(bin, "npm"), "#!/bin/sh\n"+tc.npm+"\n")
			}
			if path, err := chdb.Install(t.Context(), cache, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Install = %q, %v, want an error with %q", path, err, tc.want)
			}
			left, err := filepath.Glob(filepath.Join(cache, "engine", "*"))
			hidden, _ := filepath.Glob(filepath.Join(cache, "engine", ".*"))
			if err != nil || len(left)+len(hidden) > 0 {
				t.Errorf("left behind: %v %v, %v", left, hidden, err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil { // the fake npm is run
		t.Fatal(err)
	}
}

// pack writes an archive as npm makes them, with a library in it.
func pack(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(file)
	archive := tar.NewWriter(zip)
	content := strings.Repeat("library", 1000)
	err = archive.WriteHeader(&tar.Header{Name: "package/libchdb.so", Mode: 0o755, Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = archive.Write([]byte(content))
	if err = errors.Join(err, archive.Close(), zip.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
}
