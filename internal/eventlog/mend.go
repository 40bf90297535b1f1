package eventlog

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

const (
	roomToWrite  = 32 * mib // free space of a disk on which the server is started again
	lookForRoom  = 500 * time.Millisecond
	betweenMends = 5 * time.Second
)

// JetStream gives a stream up whose write has failed, for as long as the server runs: a disk that was full for a second
// would be the end of the log until somebody starts the process again. So the embedded server is started again when there
// is room: what it has acknowledged is on disk, and clients connect to it again by themselves.

// cannotWrite tells that the server could not write.
func (e *embedded) cannotWrite() {
	select {
	case e.broken <- struct{}{}:
	default:
	}
}

// mend starts the server again when it could not write and there is room now, until ctx ends.
func (e *embedded) mend(ctx context.Context) {
	for {
		select {
		case <-e.broken:
		case <-ctx.Done():
			return
		}
		e.cfg.Logger.Error("the embedded NATS server cannot write, as when a disk is full; it is started again when there is room", slog.String("folder", e.cfg.Dir))
		for !e.room() {
			if !wait(ctx, lookForRoom) {
				return
			}
		}
		e.halt()
		for e.start() != nil {
			if !wait(ctx, lookForRoom) {
				return
			}
		}
		e.cfg.Logger.Info("the embedded NATS server was started again")
		if !wait(ctx, betweenMends) {
			return
		}
	}
}

// room reports whether the disk has some.
func (e *embedded) room() bool {
	var s unix.Statfs_t
	if err := unix.Statfs(e.cfg.Dir, &s); err != nil {
		return false
	}
	return s.Bavail*uint64(s.Bsize) >= roomToWrite
}
