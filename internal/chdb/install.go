package chdb

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// installSpace is what an installation needs of the disk: the package and the library, rounded up.
const installSpace = 900 << 20

// Install fetches libchdb with npm into the cache folder dir (empty means CacheDir) and returns the path of the library.
// If it is there already, nothing happens. Progress is told to progress, in lines, if that is not nil. The library
// appears under its name only when it is complete and its package's integrity was verified; several installations at a
// time do not disturb each other.
func Install(ctx context.Context, dir string, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	folder, err := installDir(dir)
	if err != nil {
		return "", err
	}
	if library, err := installed(folder); err == nil {
		fmt.Fprintf(progress, "engine %s is installed: %s\n", Version, library)
		return library, nil
	}
	if err := install(ctx, folder, progress); err != nil {
		return "", fmt.Errorf("install engine %s: %w", Version, err)
	}
	library, err := installed(folder)
	if err != nil {
		return "", fmt.Errorf("install engine %s: %w", Version, err)
	}
	fmt.Fprintf(progress, "installed %s\n", library)
	return library, nil
}

// install does the work in a folder beside the final one, and renames it.
func install(ctx context.Context, folder string, progress io.Writer) error {
	name, integrity, err := platformPackage()
	if err != nil {
		return err
	}
	parent := filepath.Dir(folder)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if err := checkSpace(parent); err != nil {
		return err
	}
	work, err := os.MkdirTemp(parent, ".install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	fmt.Fprintf(progress, "fetching %s@%s (about 180 MB)\n", name, Version)
	archive, reported, err := fetch(ctx, work, name+"@"+Version)
	if err != nil {
		return err
	}
	result := filepath.Join(work, "engine")
	if err := os.Mkdir(result, 0o755); err != nil {
		return err
	}
	r := record{Package: name, Version: Version, Integrity: cmp.Or(integrity, reported)}
	fmt.Fprintln(progress, "extracting and verifying the library (about 570 MB)")
	if err := extract(ctx, archive, result, &r); err != nil {
		return err
	}
	if err := os.Rename(result, folder); err == nil {
		return nil
	}
	// Something is there: another installation that was faster, or the rest of one that was not finished.
	if _, err := installed(folder); err == nil {
		return nil
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return os.Rename(result, folder)
}

func checkSpace(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("ask for the free space in %s: %w", dir, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < installSpace {
		return fmt.Errorf("%s has %d MB free, and the engine needs %d MB while it is installed", dir, free>>20, installSpace>>20)
	}
	return nil
}

// fetch downloads a package with npm and returns the path of its archive and its integrity as npm reports it.
func fetch(ctx context.Context, dir, spec string) (archive, integrity string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", "", errors.New("npm is needed to fetch the engine and is not in PATH: install Node.js, " +
			"or set " + libraryEnv + " to the path of a libchdb.so")
	}
	cmd := exec.CommandContext(ctx, npm, "pack", "--json", "--pack-destination", dir, spec)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		return "", "", fmt.Errorf("fetch %s with npm: %w: %s", spec, err, lastLines(stderr.String(), 8))
	}
	var packed []struct {
		Filename  string `json:"filename"`
		Integrity string `json:"integrity"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &packed); err != nil || len(packed) != 1 || packed[0].Filename == "" {
		return "", "", fmt.Errorf("fetch %s with npm: it answered %.200q", spec, stdout.String())
	}
	// Older versions of npm report the name with the scope, newer ones the name of the file.
	matches, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(matches) != 1 {
		return "", "", fmt.Errorf("fetch %s with npm: it left %d archives, want 1", spec, len(matches))
	}
	return matches[0], packed[0].Integrity, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// extract writes the library of the archive and its record into dir. It fails if the archive is not the one that the
// record's integrity names.
func extract(ctx context.Context, archive, dir string, r *record) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	whole := sha512.New()
	source := io.TeeReader(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return file.Read(p)
	}), whole)
	unzipped, err := gzip.NewReader(source)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", archive, err)
		}
		if path.Base(entry.Name) != libraryName {
			continue
		}
		if err := writeLibrary(filepath.Join(dir, libraryName), entries, r); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(whole.Sum(nil)); got != r.Integrity {
		return fmt.Errorf("%s is not the package it should be: its integrity is %s, want %s", r.Package, got, r.Integrity)
	}
	if r.Size == 0 {
		return fmt.Errorf("%s has no %s", r.Package, libraryName)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordName), append(text, '\n'), 0o644)
}

func writeLibrary(path string, content io.Reader, r *record) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, sum), content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	r.Size, r.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// readerFunc is a function that reads.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
