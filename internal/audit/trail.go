// Package audit keeps the audit trail of a process: who did what, in files that are only appended to. The format is
// described in docs/format/audit.md.
package audit

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lockstepfs/lockstep/api"
)

// Config configures a Trail. Dir is needed.
type Config struct {
	Dir       string // made if it is missing; one Trail at a time
	FileBytes int64  // size from which a file is put aside; default 16 MiB
	Files     int    // how many files are kept that were put aside, the newest; default 64
}

// Trail is the audit trail. Its methods are safe for concurrent use. Close it.
type Trail struct {
	cfg Config

	mu   sync.Mutex
	file *os.File
	size int64
}

const (
	current = "audit.jsonl"
	aside   = "audit-*.jsonl" // the star is the time of the last entry, so that names are in order
	stamp   = "20060102T150405.000000000Z"
)

// Open opens the trail in cfg.Dir.
func Open(cfg Config) (*Trail, error) {
	cfg.FileBytes = cmp.Or(cfg.FileBytes, 16<<20)
	cfg.Files = cmp.Or(cfg.Files, 64)
	t := &Trail{cfg: cfg}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of the audit trail: %w", err)
	}
	if err := t.open(); err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	return t, nil
}

// open opens the current file. A line that a crash cut off is ended, so that the next one begins on its own.
func (t *Trail) open() error {
	f, err := os.OpenFile(filepath.Join(t.cfg.Dir, current), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	t.file, t.size = f, info.Size()
	last := []byte{'\n'}
	if t.size > 0 {
		if _, err := f.ReadAt(last, t.size-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' {
		return t.append([]byte{'\n'})
	}
	return nil
}

func (t *Trail) append(b []byte) error {
	n, err := t.file.Write(b)
	t.size += int64(n)
	return err
}

// Record appends e. When it returns nil the entry is on disk; refusals may still be on their way, so that who is
// refused cannot keep the disk busy.
func (t *Trail) Record(e api.AuditEntry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an entry of the audit trail: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size >= t.cfg.FileBytes {
		if err := t.rotate(e); err != nil {
			return fmt.Errorf("put a file of the audit trail aside: %w", err)
		}
	}
	if err := t.append(append(line, '\n')); err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	if e.Phase == api.AuditRefused {
		return nil
	}
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return nil
}

// rotate puts the current file aside and removes the oldest that are too many. t.mu is held.
func (t *Trail) rotate(next api.AuditEntry) error {
	if err := errors.Join(t.file.Sync(), t.file.Close()); err != nil {
		return err
	}
	name := strings.Replace(aside, "*", next.Time.UTC().Format(stamp), 1)
	if err := os.Rename(filepath.Join(t.cfg.Dir, current), filepath.Join(t.cfg.Dir, name)); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	old, err := t.old()
	if err != nil {
		return err
	}
	for len(old) > t.cfg.Files {
		if err := os.Remove(old[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		old = old[1:]
	}
	return nil
}

// old returns the files that were put aside, oldest first.
func (t *Trail) old() ([]string, error) {
	names, err := filepath.Glob(filepath.Join(t.cfg.Dir, aside))
	slices.Sort(names)
	return names, err
}

// Entries returns the newest entries that q selects, oldest first.
func (t *Trail) Entries(q api.AuditQuery) ([]api.AuditEntry, error) {
	files, err := t.old()
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	files = append(files, filepath.Join(t.cfg.Dir, current))
	var out []api.AuditEntry
	for _, file := range slices.Backward(files) {
		entries, err := read(file, q)
		if errors.Is(err, fs.ErrNotExist) {
			continue // put aside or removed since
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		out = append(entries, out...)
		if len(out) >= q.Limit || len(entries) > 0 && entries[0].Time.Before(q.Since) {
			break
		}
	}
	return out[max(0, len(out)-q.Limit):], nil
}

const longestLine = 1 << 20

// read returns the newest q.Limit entries of a file that q selects. Lines that are not entries are left out: a crash
// may have cut one off.
func read(file string, q api.AuditQuery) ([]api.AuditEntry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []api.AuditEntry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var e api.AuditEntry
		if json.Unmarshal(lines.Bytes(), &e) != nil || q.Action != "" && e.Action != q.Action || q.Who != "" && e.Who != q.Who || e.Time.Before(q.Since) {
			continue
		}
		if out = append(out, e); len(out) > 2*q.Limit {
			out = slices.Delete(out, 0, len(out)-q.Limit)
		}
	}
	return out[max(0, len(out)-q.Limit):], lines.Err()
}

// Close ends the trail.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.file.Sync(), t.file.Close())
}
