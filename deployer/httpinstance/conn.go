package httpinstance

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/joinery/faas"
)

// conn is one connection to the instance.
type conn struct {
	net.Conn
	raw   syscall.RawConn
	abort func() // closes the connection; kept so that a call need not make it

	idleSince time.Time

	// What quiet saw; probe is kept so that a call need not make it.
	probe func(fd uintptr) bool
	alive bool
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc}
	c.abort = func() { _ = nc.Close() }
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
			c.probe = func(fd uintptr) bool {
				c.alive = nothingToRead(fd)
				return true
			}
		}
	}
	return c
}

// quiet reports whether an idle connection is still usable: open, and without
// bytes that nobody asked for. The other side may close it right afterwards; of
// that the first write tells, as the connection then takes no byte.
func (c *conn) quiet() bool {
	return c.raw == nil || (c.raw.Read(c.probe) == nil && c.alive)
}

// dial makes a new connection. All its failures are ErrUnavailable, but for
// those of the context and a closed pool.
func (in *instance) dial(ctx context.Context) (*conn, error) {
	d := net.Dialer{Timeout: in.dialTimeout}
	var end time.Time
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		nc, err := d.DialContext(ctx, in.endpoint.Network, in.endpoint.Address)
		if err == nil {
			c := newConn(nc)
			if !in.pool.add(c) {
				_ = c.Close()
				return nil, in.errorf(faas.ErrClosed, "the instance's connections are closed")
			}
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, faas.ContextError(ctx, component, "invoke", in.key)
		}
		if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) { // the dialer's clock rang before the context's
			return nil, in.errorf(faas.ErrTimeout, "%w", context.DeadlineExceeded)
		}
		if end.IsZero() {
			end = time.Now().Add(in.dialTimeout)
		}
		// A unix socket whose backlog is full refuses at once where TCP would wait.
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
			return nil, in.errorf(faas.ErrUnavailable, "%w", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, faas.ContextError(ctx, component, "invoke", in.key)
		}
	}
}
