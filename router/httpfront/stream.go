package httpfront

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
)

// errTooLarge tells a body over the limit from the other bounds that are ErrExhausted.
var errTooLarge = errors.New("the body is too large")

func tooLarge(limit int64) error {
	return &faas.Error{Component: component, Op: "read the request's body", Class: faas.ErrExhausted,
		Err: fmt.Errorf("%w: more than %d bytes", errTooLarge, limit), Next: "send less, or raise Options.MaxBody"}
}

// readError classes what net/http says of a client's body.
func readError(err error) error {
	class, detail := faas.ErrInvalidArgument, "the body is not what its framing says"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		class, detail = faas.ErrTimeout, "the body did not arrive in time"
	case errors.Is(err, io.ErrUnexpectedEOF):
		class, detail = faas.ErrCanceled, "the client went away within the body"
	}
	return faas.Errorf(component, "read the request's body", "", class, "%s: %w", detail, err)
}

// stream is a request body on its way through. Unlike net/http's own it can be
// closed while it is being read, and after Close nobody is reading it any more.
type stream struct {
	body    io.Reader
	unblock *http.ResponseController
	limit   int64
	bounded bool

	mu     sync.Mutex // held while body is read
	left   int64
	ended  atomic.Bool
	closed atomic.Bool
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, faas.Errorf(component, "read the request's body", "", faas.ErrClosed, "the body is closed")
	}
	n, err := s.body.Read(p)
	if s.left -= int64(n); s.bounded && s.left < 0 {
		return 0, tooLarge(s.limit)
	}
	switch {
	case err == nil:
	case err == io.EOF: // a wrapped one is a failure
		s.ended.Store(true)
	default:
		err = readError(err)
	}
	return n, err
}

// linger is how long the server may go on reading what nobody wants, so that the
// client is not reset before it has read the response.
const linger = 500 * time.Millisecond

// Close wakes a Read that waits for the client, and waits for it.
func (s *stream) Close() error {
	if s.closed.Swap(true) || s.ended.Load() {
		return nil
	}
	if !s.mu.TryLock() {
		_ = s.unblock.SetReadDeadline(longAgo)
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	_ = s.unblock.SetReadDeadline(time.Now().Add(linger))
	return nil
}
