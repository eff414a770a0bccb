// Package httpinstance is the connector of the HTTP instance contracts: it makes
// an instance (F4 of the SPEC-RG reference architecture) that serves HTTP/1.1 on
// a unix socket or a TCP address callable as a faas.Invoker.
//
// It is a client of its own rather than net/http's, for speed and for strictness:
// the calling goroutine itself writes the request and reads the response on a
// pooled connection, so a warm call is one write and one read, without a
// goroutine, a channel or a timer; and what a function answers is checked
// against RFC 9112 before anything of it is passed on.
//
// # Snippet
//
//	c := httpinstance.New(nil)
//	inv, err := c.Connect(ctx, fn, driver.Endpoint{Network: "unix", Address: "/run/f/1.sock"})
//	resp, err := inv.Invoke(ctx, &faas.Request{Method: "GET", Path: "/"})
//	err = inv.Close()
//
// # What the function sees
//
// The request's method, path, query and header as they are, and: Host, always
// "{name}.{namespace}"; X-Request-Id, the request's ID; X-Request-Deadline, the
// moment the call's deadline passes in milliseconds since the Unix epoch, absent
// without a deadline. The latter three replace what the request's header says of
// them. A body in hand has a Content-Length; a stream of unknown size is chunked,
// and is sent while the response is already being received. Hop-by-hop fields
// (RFC 9110, 7.6.1) and those that Connection lists are left out, both ways, and
// so are Expect of a request and X-Joinery-* of a response. When the context
// ends, the connection is closed at once: that is how the function learns of it.
//
// # What the caller gets
//
// A response of a known length up to 64 KiB comes in hand; any other is a stream
// that holds its connection until its end or Close. A stream that breaks off
// returns an error, never io.EOF. Only of a body that has neither a length nor
// chunks (HTTP/1.0 style) the end cannot be told from a break. The body's length
// is Body.Size; a Content-Length field is there only where there is no body (HEAD,
// 304). Trailer fields appear in Response.Header under http.TrailerPrefix once the
// body has been read to its end. 1xx responses are skipped, redirects are the caller's.
//
// # Errors
//
//   - ErrUnavailable: the request certainly never reached the instance: no connection
//     could be made, or it was closed before it took the first byte. The request's
//     body is untouched, so the same request may be sent to another instance.
//   - ErrFunction: the connection broke after that, or the answer breaks a rule of HTTP/1.1.
//   - ErrTimeout, ErrCanceled: the context ended; the function may have run.
//   - ErrInvalidArgument: the request cannot be written as HTTP (or its body fails
//     to be read with an error without a class); nothing was answered.
//   - ErrClosed: the Invoker was closed.
//
// # Concurrency
//
// Everything is safe for concurrent use. There is no goroutine but one for each
// upload that does not fit a single write (more than 32 KiB, or a stream); it ends
// with the call, or, when the request's stream ignores its Close, with its last Read.
package httpinstance

import (
	"context"
	"net"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/orchestrator/driver"
)

// Options of a Connector; the zero value is the default.
type Options struct {
	// IdleTimeout is how long an unused connection is kept. Zero or less: 30 s.
	IdleTimeout time.Duration
	// DialTimeout bounds the making of one connection. Zero or less: 5 s.
	DialTimeout time.Duration
}

const (
	defaultIdleTimeout = 30 * time.Second
	defaultDialTimeout = 5 * time.Second

	component = "function instance"
)

// Connector makes HTTP instances callable. It implements deployer.Connector.
type Connector struct {
	idleTimeout, dialTimeout time.Duration
}

var _ deployer.Connector = (*Connector)(nil)

// New returns a Connector; o may be nil. It holds nothing and needs no Close.
func New(o *Options) *Connector {
	c := &Connector{idleTimeout: defaultIdleTimeout, dialTimeout: defaultDialTimeout}
	if o != nil && o.IdleTimeout > 0 {
		c.idleTimeout = o.IdleTimeout
	}
	if o != nil && o.DialTimeout > 0 {
		c.dialTimeout = o.DialTimeout
	}
	return c
}

// Connect returns an Invoker for the instance of fn at ep, whose network is
// "unix" or "tcp". It makes no connection yet. At most fn's Concurrency
// connections are kept when idle. Closing the Invoker closes every connection,
// so that calls still in flight fail with ErrFunction: drain it first.
//
// Errors: ErrInvalidArgument (no address), ErrUnimplemented (another network).
func (c *Connector) Connect(_ context.Context, fn faas.Function, ep driver.Endpoint) (faas.InvokeCloser, error) {
	key := fn.Ref.String()
	switch {
	case ep.Network != "unix" && ep.Network != "tcp":
		return nil, &faas.Error{Component: component, Op: "connect", Key: key, Class: faas.ErrUnimplemented,
			Err: net.UnknownNetworkError(ep.Network), Next: `the HTTP contracts need an endpoint of network "unix" or "tcp"`}
	case ep.Address == "":
		return nil, faas.Errorf(component, "connect", key, faas.ErrInvalidArgument, "the endpoint has no address")
	}
	ref := fn.Ref.WithDefaults()
	return &instance{
		Connector: c,
		key:       key,
		endpoint:  ep,
		host:      ref.Name + "." + ref.Namespace,
		pool:      pool{maxIdle: fn.Spec.MaxPerInstance(), idleTimeout: c.idleTimeout, all: map[*conn]struct{}{}},
	}, nil
}

// instance is one endpoint and the connections to it.
type instance struct {
	*Connector
	key      string
	endpoint driver.Endpoint
	host     string
	pool     pool
}

// Close closes every connection. Twice is nil.
func (in *instance) Close() error {
	in.pool.close()
	return nil
}

// errorf is the failure of one call.
func (in *instance) errorf(class error, format string, args ...any) error {
	return faas.Errorf(component, "invoke", in.key, class, format, args...)
}
