package sdk

import (
	"errors"
	"io"
	"sync/atomic"
)

// upload is a stream as one attempt sends it. As long as nothing was read of it another attempt can: the transport may go on
// reading after it has the answer, so an upload is withdrawn before the next one takes its place.
type upload struct {
	stream io.Reader
	state  atomic.Int32
}

// The states of an upload.
const (
	unread int32 = iota
	begun
	withdrawn
)

func (u *upload) Read(p []byte) (int, error) {
	if !u.state.CompareAndSwap(unread, begun) && u.state.Load() == withdrawn {
		return 0, errors.New("the attempt is over")
	}
	return u.stream.Read(p)
}

// length is how much there is to read, -1 if the stream does not tell.
func (u *upload) length() int64 {
	if s, ok := u.stream.(interface{ Len() int }); ok && s.Len() > 0 {
		return int64(s.Len())
	}
	return -1
}

// withdraw reports whether nothing was read; then nothing will be.
func (u *upload) withdraw() bool { return u.state.CompareAndSwap(unread, withdrawn) }
