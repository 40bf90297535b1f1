package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDamaged says that an index's folder cannot be read any more. Whoever owns the folder removes it: it is made again.
var ErrDamaged = errors.New("the index of ids on disk is damaged")

// damagedName is the file that says so in the folder.
const damagedName = "DAMAGED"

// met reports whether the index could not be opened for what is in its files. Pebble marks only some of these errors: not
// that a table is shorter than it was, or gone.
func (x *Index) met(err error) bool {
	select {
	case <-x.damaged:
		return true
	default:
	}
	return pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "object size mismatch")
}

// damage ends Publisher.Run, and leaves a note for the next start, which makes the index anew.
func (x *Index) damage(cfg Config, i pebble.DataCorruptionInfo) {
	x.once.Do(func() {
		x.logger.Error("the index of ids is damaged; the process is to be started again, and makes it anew", slog.String("damage", i.String()))
		f, err := cfg.FS.Create(cfg.FS.PathJoin(cfg.Dir, damagedName), vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = fmt.Fprintln(f, "This index of ids is damaged. The next start removes it and makes it anew.")
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			x.logger.Error("the folder of the index of ids could not be marked as damaged: delete it", slog.Any("error", err))
		}
		close(x.damaged)
	})
}

// quiet is Pebble's logger.
type quiet struct{ logger *slog.Logger }

// Infof drops what Pebble tells about its daily work.
func (quiet) Infof(string, ...any) {}

// Errorf logs.
func (q quiet) Errorf(format string, args ...any) {
	q.logger.Warn("index of ids", slog.String("message", fmt.Sprintf(format, args...)))
}

// Fatalf ends the process by a panic: Pebble cannot go on, and rows that are not judged must not be taken.
func (q quiet) Fatalf(format string, args ...any) {
	panic("index of ids: " + fmt.Sprintf(format, args...))
}
