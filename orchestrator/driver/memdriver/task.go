package memdriver

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// task is one instance of a handler.
type task struct {
	id      string
	handler faas.Invoker
	log     *slog.Logger
	server  *server // of the HTTP contracts, else nil

	// Guarded by Driver.mu. force, when not nil, ends the grace of the end under way.
	status   driver.Status
	force    *time.Timer
	deadline time.Time

	calls calls
	gone  chan struct{}
}

// open gives the task its endpoint.
func (t *task) open(c faas.Contract) (driver.Endpoint, error) {
	if c == faas.ContractHandler {
		return driver.Endpoint{Network: Network, Address: t.id}, nil
	}
	s, err := serve(c, t)
	if err != nil {
		return driver.Endpoint{}, err
	}
	t.server = s
	return s.endpoint, nil
}

// close takes no more calls and waits for those in flight until it is settled.
func (t *task) close() {
	if t.server != nil {
		t.server.close(t.calls.settled)
		return
	}
	t.calls.stop()
	<-t.calls.settled
}

// Invoke calls the handler. See Connect.
func (t *task) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	s := t.calls.enter()
	if s == nil {
		return nil, faas.Errorf(component, "invoke", t.id, faas.ErrUnavailable, "the instance is stopped")
	}
	defer t.calls.leave(s)
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, component, "invoke", t.id)
	}
	return t.call(ctx, req)
}

// call makes of everything that the handler can do a response or a classed error.
func (t *task) call(ctx context.Context, req *faas.Request) (resp *faas.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			t.log.Warn("handler panicked", "id", t.id, "panic", p, "stack", string(debug.Stack()))
			resp, err = nil, faas.Errorf(component, "invoke", t.id, faas.ErrFunction, "panic: %v", p)
		}
	}()
	resp, err = t.handler.Invoke(ctx, req)
	switch {
	case err != nil:
		return nil, t.classify(ctx, err)
	case resp == nil:
		return nil, faas.Errorf(component, "invoke", t.id, faas.ErrFunction, "the handler returned neither a response nor an error")
	}
	return resp, nil
}

func (t *task) classify(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return faas.ContextError(ctx, component, "invoke", t.id)
	case errors.Is(err, faas.ErrUnavailable):
		// It reached the handler, so it must not look as if it could be tried elsewhere.
		return faas.Errorf(component, "invoke", t.id, faas.ErrFunction, "%v", err)
	}
	return faas.Errorf(component, "invoke", t.id, faas.ErrFunction, "%w", err)
}
