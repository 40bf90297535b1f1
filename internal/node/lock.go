package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lockstepfs/lockstep/feature"
)

// lock is the claim of one process on a data folder. The file holds the URL at which the process serves, so
// that commands find it; the kernel drops the claim with the process.
type lock struct{ file *os.File }

func lockPath(data string) string { return filepath.Join(data, "lock") }

// claim locks the folder, or fails with CodeConflict when a process holds it.
func claim(data string) (*lock, error) {
	f, err := os.OpenFile(lockPath(data), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, feature.Errorf(feature.CodeConflict, "the data folder %s is in use by another process", data)
		}
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return &lock{f}, f.Truncate(0)
}

// announce writes the URL that commands are to use.
func (l *lock) announce(url string) error {
	_, err := l.file.WriteAt([]byte(url+"\n"), 0)
	return err
}

func (l *lock) release() {
	_ = l.file.Truncate(0) // the claim ends with Close in any case
	l.file.Close()
}

// Running returns the URL of the process that holds the data folder; ok is false when none does. The URL is ""
// while that process is still starting.
func Running(data string) (url string, ok bool, err error) {
	f, err := os.Open(lockPath(data))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look at the data folder: %w", err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return "", false, nil
	}
	b, err := os.ReadFile(lockPath(data))
	return strings.TrimSpace(string(b)), true, err
}
