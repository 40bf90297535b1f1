// Package wire makes the bytes that outlive a process and reads them back: keys, ordered tuples, row groups and
// states of keys. Each format has a page with a byte diagram in docs/format; a change of one is a new version
// byte, and the old version stays readable.
//
// Decoders take bytes from disks and networks: they never panic, never allocate more than a small multiple of
// their input, and their errors are of type *Error and say what is wrong and where. Encoders take values that
// the product made: they panic on what only a bug can make, such as a column shorter than its batch.
package wire

import "fmt"

// Error says why bytes are not what they are taken for.
type Error struct {
	Format string // what was being read: "key", "row group", "state"
	Offset int    // where in the bytes it went wrong
	Reason string // what is wrong there
	Newer  bool   // nothing is broken: it is whole, and of a version that this program does not know
}

// Error returns one line with the format, the place and the reason.
func (e *Error) Error() string {
	if e.Newer {
		return fmt.Sprintf("%s of a newer version: %s", e.Format, e.Reason)
	}
	return fmt.Sprintf("broken %s at byte %d: %s", e.Format, e.Offset, e.Reason)
}
