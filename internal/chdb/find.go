package chdb

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const (
	// Version is the version of libchdb, as its package numbers it, that this module is made for.
	Version = "26.7.3-stable.1"
	// libraryEnv names a libchdb to use instead of an installed one.
	libraryEnv = "LOCKSTEP_ENGINE"
	// libraryName is the file name of the library on every platform; recordName that of what Install notes about it.
	libraryName, recordName = "libchdb.so", "install.json"
)

// record is what Install leaves beside a library that it wrote completely.
type record struct {
	Package   string `json:"package"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"` // of the package, as npm writes it
	Size      int64  `json:"size"`      // of the library
	SHA256    string `json:"sha256"`    // of the library
}

// CacheDir is where engines are installed unless told otherwise: lockstep in the user's cache directory.
func CacheDir() (string, error) {
	root := os.Getenv("XDG_CACHE_HOME")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory: %w", err)
		}
		root = filepath.Join(home, ".cache")
	}
	return filepath.Join(root, "lockstep"), nil
}

// Find returns the path of libchdb. It looks at LOCKSTEP_ENGINE, in the cache folder dir (empty means CacheDir), next to
// this executable and in /usr/local/lib. The error is ErrNotInstalled and says what to run; a library in the cache that
// Install did not finish does not count.
func Find(dir string) (string, error) {
	if path := os.Getenv(libraryEnv); path != "" {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("%w: %s names %s, which is not a file", ErrNotInstalled, libraryEnv, path)
		}
		return path, nil
	}
	folder, err := installDir(dir)
	if err != nil {
		return "", err
	}
	if path, err := installed(folder); err == nil {
		return path, nil
	}
	candidates := []string{filepath.Join("/usr/local/lib", libraryName)}
	if executable, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(executable), libraryName)}, candidates...)
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (looked in %s and for %s): run: lockstep engine install (or make engine)",
		ErrNotInstalled, folder, candidates)
}

// installDir is the folder of this version of the engine in the cache folder dir.
func installDir(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = CacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "engine", Version), nil
}

// installed returns the library in folder if its record is there and agrees with its size.
func installed(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, recordName))
	if err != nil {
		return "", err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return "", err
	}
	path := filepath.Join(folder, libraryName)
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() != r.Size {
		return "", fmt.Errorf("%s has %d bytes, want %d", path, info.Size(), r.Size)
	}
	return path, nil
}

// platformPackage is the npm package with the library for this platform, and the integrity of this version of it where
// it is known.
func platformPackage() (name, integrity string, err error) {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return "@chdb/lib-linux-x64-gnu",
			"sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==", nil
	case "linux/arm64":
		return "@chdb/lib-linux-arm64-gnu", "", nil
	case "darwin/amd64":
		return "@chdb/lib-darwin-x64", "", nil
	case "darwin/arm64":
		return "@chdb/lib-darwin-arm64", "", nil
	}
	return "", "", fmt.Errorf("there is no libchdb for %s/%s", runtime.GOOS, runtime.GOARCH)
}
