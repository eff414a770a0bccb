package httpinstance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

var (
	errSwitch = errors.New("the function switched protocols without being asked to")
	errHead   = fmt.Errorf("the head of the response has more than %d bytes", maxHead)
)

// exchange is one request and its response on one connection. It is pooled with
// its two buffers, so that idle connections hold no memory.
type exchange struct {
	in   *instance
	ctx  context.Context
	c    *conn
	stop func() bool // ends the watch over ctx
	up   *upload

	heads int    // bytes of heads read so far
	buf   []byte // buf[r:w] is read from c and not consumed
	r, w  int

	first [4096]byte // what buf is at first
	out   [4096]byte // for the request's head
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(in *instance, ctx context.Context) *exchange {
	x := exchanges.Get().(*exchange)
	x.in, x.ctx = in, ctx
	x.buf, x.r, x.w, x.heads = x.first[:], 0, 0, 0
	return x
}

// hold makes c the exchange's connection: it is closed at once when the context ends.
func (x *exchange) hold(c *conn) {
	x.c = c
	if a, ok := x.ctx.(interface{ AfterFunc(func()) func() bool }); ok { // as context.AfterFunc does, but for a channel
		x.stop = a.AfterFunc(c.abort)
	} else if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, c.abort)
	}
}

// release gives the connection back, for reuse when keep is true.
func (x *exchange) release(keep bool) {
	if x.c == nil {
		return
	}
	if x.stop != nil && !x.stop() {
		keep = false // it is being closed
	}
	if keep {
		x.in.pool.put(x.c)
	} else {
		x.in.pool.discard(x.c)
	}
	x.c, x.stop = nil, nil
}

// finish ends the exchange, which must not be used any more. keep tells that the
// response was read to its end and the connection may be used again.
func (x *exchange) finish(keep bool) {
	keep = keep && x.r == x.w // bytes after the response are nobody's
	if x.up != nil {
		keep = x.up.finish(keep)
		x.up = nil
	}
	x.release(keep)
	x.in, x.ctx, x.buf = nil, nil, nil
	exchanges.Put(x)
}

// failure classes an error of reading the response.
func (x *exchange) failure(err error) error {
	if x.up != nil {
		if cause := x.up.failure(); cause != nil {
			return &faas.Error{Component: component, Op: "read the request's body", Key: x.in.key, Class: bodyClass(cause), Err: cause}
		}
	}
	if x.ctx.Err() != nil {
		return faas.ContextError(x.ctx, component, "invoke", x.in.key)
	}
	if x.in.pool.isClosed() {
		return x.in.errorf(faas.ErrFunction, "the instance's connections were closed during the call: %w", err)
	}
	return x.in.errorf(faas.ErrFunction, "%w", err)
}

// bodyClass is the class of an error of the request's body: its own, if it has one.
func bodyClass(err error) error {
	if c := faas.Class(err); !errors.Is(c, faas.ErrInternal) || errors.Is(err, faas.ErrInternal) {
		return c
	}
	return faas.ErrInvalidArgument
}

// fill reads more, at least one byte.
func (x *exchange) fill() error {
	if x.r == x.w {
		x.r, x.w = 0, 0
	}
	if x.w == len(x.buf) {
		to := x.buf
		if x.r == 0 {
			if len(x.buf) >= maxHead {
				return errHead
			}
			to = make([]byte, min(2*len(x.buf), maxHead))
		}
		x.w = copy(to, x.buf[x.r:x.w])
		x.buf, x.r = to, 0
	}
	n, err := x.c.Read(x.buf[x.w:])
	x.w += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the connection broke within the response: %w", err)
}

// readHead reads a head up to and with its empty line. What cannot become a head
// is refused as soon as it is seen, not when the deadline passes.
func (x *exchange) readHead() (string, error) {
	const start = "HTTP/1."
	line, seen := 0, 0 // offsets from x.r: of the current line, of what was looked at
	for {
		b := x.buf[x.r:x.w]
		if n := min(len(b), len(start)); string(b[:n]) != start[:n] {
			return "", fmt.Errorf("the response does not start with %s: %q", start, clip.Text(string(b)))
		}
		for {
			i := bytes.IndexByte(b[seen:], '\n')
			if i < 0 {
				seen = len(b)
				break
			}
			end := seen + i
			if end == line || b[end-1] != '\r' {
				return "", fmt.Errorf("a line of the head does not end with CR LF: %q", clip.Text(string(b[line:end+1])))
			}
			seen = end + 1
			if end-1 == line {
				x.r += seen
				x.heads += seen
				if x.heads > maxHead {
					return "", errHead
				}
				return string(b[:seen]), nil
			}
			line = seen
		}
		if x.heads+len(b) >= maxHead {
			return "", errHead
		}
		if err := x.fill(); err != nil {
			if len(b) == 0 && x.heads == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
				return "", fmt.Errorf("the connection was closed without a response: %w", io.ErrUnexpectedEOF)
			}
			return "", err
		}
	}
}

// readFull reads exactly len(p) bytes of the body.
func (x *exchange) readFull(p []byte) error {
	n := copy(p, x.buf[x.r:x.w])
	x.r += n
	for n < len(p) {
		m, err := x.c.Read(p[n:])
		n += m
		if err != nil && n < len(p) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("the connection broke after %d of %d bytes of the body: %w", n, len(p), err)
		}
	}
	return nil
}

// line reads a line of the chunked coding; the result lives until the next read.
func (x *exchange) line() ([]byte, error) {
	seen := 0
	for {
		b := x.buf[x.r:x.w]
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			end := seen + i
			if end == 0 || b[end-1] != '\r' || bytes.IndexByte(b[:end-1], '\r') >= 0 {
				return nil, fmt.Errorf("a line of the chunked body does not end with CR LF: %q", clip.Text(string(b[:end])))
			}
			x.r += end + 1
			return b[:end-1], nil
		}
		seen = len(b)
		if err := x.fill(); err != nil {
			return nil, err
		}
	}
}
