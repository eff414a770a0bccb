package memdriver

import (
	"context"
	"sync/atomic"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Connect returns the instance at an endpoint of network "handler" as an Invoker, so
// that the driver is its own deployer.Connector. Errors: ErrInvalidArgument (another network),
// ErrUnavailable (no such instance, or not any more), ErrClosed.
//
// The Invoker runs the handler in the caller's goroutine: a handler that does not
// heed its context holds the caller. A panic is ErrFunction. The Invoker's Close frees nothing,
// but ends it: calls after it are ErrClosed.
func (d *Driver) Connect(ctx context.Context, _ faas.Function, ep driver.Endpoint) (faas.InvokeCloser, error) {
	if ep.Network != Network {
		return nil, faas.Errorf(component, "connect", ep.Address, faas.ErrInvalidArgument, "the network is %q, not %q", ep.Network, Network)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkLocked(ctx, "connect", ep.Address); err != nil {
		return nil, err
	}
	t := d.tasks[ep.Address]
	if t == nil || t.server != nil {
		return nil, faas.Errorf(component, "connect", ep.Address, faas.ErrUnavailable, "there is no such instance")
	}
	return &connection{task: t}, nil
}

type connection struct {
	task   *task
	closed atomic.Bool
}

// Invoke implements faas.Invoker.
func (c *connection) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if c.closed.Load() {
		return nil, faas.Errorf(component, "invoke", c.task.id, faas.ErrClosed, "the connection was closed")
	}
	return c.task.Invoke(ctx, req)
}

// Close implements io.Closer.
func (c *connection) Close() error {
	c.closed.Store(true)
	return nil
}
