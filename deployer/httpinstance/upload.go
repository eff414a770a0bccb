package httpinstance

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
)

// upload sends a request's body while the response is being received.
type upload struct {
	c      *conn
	source io.ReadCloser
	once   sync.Once             // closes source
	ended  atomic.Bool           // source was read to its end
	cause  atomic.Pointer[error] // why source could not be read
	sent   bool                  // all of it was written; valid once done
	done   chan struct{}
}

const (
	chunkRoom = 8 // "7fff\r\n" before a chunk's data
	uploadLen = 32<<10 - chunkRoom - len("\r\n")
)

var uploadBufs = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// settleTime is how long the end of a response waits for the last write of its
// request to return, which the function has received already.
const settleTime = 50 * time.Millisecond

func startUpload(c *conn, b faas.Body) *upload {
	u := &upload{c: c, source: b.Reader(), done: make(chan struct{})}
	go u.run(b.Size())
	return u
}

func (u *upload) run(size int64) {
	defer close(u.done)
	defer u.close()
	buf := uploadBufs.Get().(*[32 << 10]byte)
	defer uploadBufs.Put(buf)
	var readErr error
	if size < 0 {
		u.sent, readErr = u.chunks(buf)
	} else {
		u.sent, readErr = u.bytes(buf, size)
	}
	if readErr != nil {
		u.cause.Store(&readErr)
		u.c.abort() // the function must not take what it has for the whole
	}
}

// bytes sends size bytes. The error is the source's; the connection's shows in sent alone.
func (u *upload) bytes(buf *[32 << 10]byte, size int64) (sent bool, err error) {
	for left := size; left > 0; {
		n, err := u.source.Read(buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		u.ended.Store(left == 0)
		if n > 0 {
			if _, werr := u.c.Write(buf[:n]); werr != nil {
				return false, nil
			}
		}
		if err != nil && left > 0 {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it has %d bytes less than its size of %d: %w", left, size, io.ErrUnexpectedEOF)
			}
			return false, err
		}
	}
	return true, nil
}

// chunks sends everything in the chunked coding, a chunk with each write.
func (u *upload) chunks(buf *[32 << 10]byte) (sent bool, err error) {
	for {
		n, err := u.source.Read(buf[chunkRoom : chunkRoom+uploadLen])
		end := errors.Is(err, io.EOF)
		u.ended.Store(end)
		if n > 0 {
			var room [chunkRoom]byte
			size := append(strconv.AppendInt(room[:0], int64(n), 16), "\r\n"...)
			from := chunkRoom - len(size)
			copy(buf[from:], size)
			to := chunkRoom + n
			to += copy(buf[to:], "\r\n")
			if _, werr := u.c.Write(buf[from:to]); werr != nil {
				return false, nil
			}
		}
		if end {
			_, werr := io.WriteString(u.c, "0\r\n\r\n")
			return werr == nil, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (u *upload) close() { u.once.Do(func() { _ = u.source.Close() }) }

// failure is why the source could not be read, if that is what happened.
func (u *upload) failure() error {
	if cause := u.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// finish ends the upload. It reports whether the connection may be used again:
// when everything was sent. An upload that goes on after the response is cut off.
func (u *upload) finish(keep bool) bool {
	if keep && u.ended.Load() {
		t := time.NewTimer(settleTime)
		defer t.Stop()
		select {
		case <-u.done:
		case <-t.C:
		}
	}
	select {
	case <-u.done:
		return keep && u.sent
	default:
	}
	u.c.abort()
	u.close()
	return false
}
