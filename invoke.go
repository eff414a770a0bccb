package faas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Invoker turns a request into a response. It is the one interface over a
// function: routers, instances, in-process handlers and every decorator around
// them are Invokers. Safe for concurrent use.
//
// Invoke returns either a response or an error, never both. The deadline of ctx
// is the deadline of the call; when ctx ends the call returns soon, with ErrTimeout
// or ErrCanceled, and the function is told. A request that reached an instance is
// executed at most once.
type Invoker interface {
	Invoke(ctx context.Context, req *Request) (*Response, error)
}

// InvokerFunc makes a function an Invoker.
type InvokerFunc func(ctx context.Context, req *Request) (*Response, error)

// Invoke calls f.
func (f InvokerFunc) Invoke(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// InvokeCloser is an Invoker that holds something to free, such as connections.
type InvokeCloser interface {
	Invoker
	io.Closer
}

// Instance is a function instance (F4): a self-contained worker that handles the
// executions of one version of a function. A deployer (F3) returns it ready.
type Instance interface {
	Invoker
	// ID is unique among all instances of the platform.
	ID() string
	// Done is closed when the instance has ended, for whatever reason.
	Done() <-chan struct{}
	// Err says why it ended: nil before Done is closed and after Stop, else ErrFunction
	// (with ErrOutOfMemory where that is the reason) or ErrUnavailable (its node was lost).
	Err() error
	// Stop ends the instance and waits until it is gone: politely at first, by force
	// after the function's grace. When ctx ends it returns while the end goes on.
	// Stopping twice is nil. The caller drains before: calls in flight are cut.
	Stop(ctx context.Context) error
}

// Outcome is how an invocation ended, told apart by who is to blame.
type Outcome int

const (
	// Success: the function answered with a status below 500.
	Success Outcome = iota
	// FunctionError: it answered with 5xx, crashed, or broke its contract.
	FunctionError
	// FunctionTimeout: the deadline passed.
	FunctionTimeout
	// PlatformError: the platform failed before or around the function.
	PlatformError
	// Rejected: refused without being tried: a bound was reached or the request is wrong.
	Rejected
	// Cancelled: the caller gave up.
	Cancelled
)

// String is the outcome's name in lower case with underscores.
func (o Outcome) String() string {
	names := [...]string{"success", "function_error", "function_timeout", "platform_error", "rejected", "cancelled"}
	if o < 0 || int(o) >= len(names) {
		return fmt.Sprintf("outcome(%d)", int(o))
	}
	return names[o]
}

// OutcomeOf tells how an invocation that returned (resp, err) ended.
func OutcomeOf(resp *Response, err error) Outcome {
	if err == nil {
		if resp.StatusCode() >= http.StatusInternalServerError {
			return FunctionError
		}
		return Success
	}
	switch c := Class(err); {
	case errors.Is(c, ErrFunction), errors.Is(c, ErrOutOfMemory):
		return FunctionError
	case errors.Is(c, ErrTimeout):
		return FunctionTimeout
	case errors.Is(c, ErrCanceled):
		return Cancelled
	case errors.Is(c, ErrExhausted), errors.Is(c, ErrInvalidArgument), errors.Is(c, ErrNotFound), errors.Is(c, ErrDenied):
		return Rejected
	}
	return PlatformError
}
