package cluster_test

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// cuttable is a naming service behind a line that can be cut: how a component that crashed
// or was partitioned looks to the others.
type cuttable struct {
	orchestrator.NamingService
	mu   sync.Mutex
	gone chan struct{} // closed while cut
	cut_ atomic.Bool
}

func newCuttable(names orchestrator.NamingService) *cuttable {
	return &cuttable{NamingService: names, gone: make(chan struct{})}
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut_.CompareAndSwap(false, true) {
		close(c.gone)
	}
}

func (c *cuttable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut_.CompareAndSwap(true, false) {
		c.gone = make(chan struct{})
	}
}

func (c *cuttable) line() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut_.Load() {
		return nil, faas.Errorf("naming service", "reach", "", faas.ErrUnavailable, "the line is cut")
	}
	return c.gone, nil
}

func (c *cuttable) Put(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
	if _, err := c.line(); err != nil {
		return orchestrator.Entry{}, err
	}
	return c.NamingService.Put(ctx, name, value, o)
}

func (c *cuttable) Get(ctx context.Context, name string) (orchestrator.Entry, error) {
	if _, err := c.line(); err != nil {
		return orchestrator.Entry{}, err
	}
	return c.NamingService.Get(ctx, name)
}

func (c *cuttable) List(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
	if _, err := c.line(); err != nil {
		return nil, 0, err
	}
	return c.NamingService.List(ctx, prefix)
}

func (c *cuttable) Delete(ctx context.Context, name string, o *orchestrator.DeleteOptions) error {
	if _, err := c.line(); err != nil {
		return err
	}
	return c.NamingService.Delete(ctx, name, o)
}

func (c *cuttable) Watch(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
	return func(yield func(orchestrator.Event, error) bool) {
		gone, err := c.line()
		if err != nil {
			yield(orchestrator.Event{}, err)
			return
		}
		wctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-gone:
				cancel()
			case <-stop:
			}
		}()
		for ev, err := range c.NamingService.Watch(wctx, prefix, after) {
			if err != nil && ctx.Err() == nil && wctx.Err() != nil {
				err = faas.Errorf("naming service", "watch", "", faas.ErrUnavailable, "the line is cut")
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (c *cuttable) Grant(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
	if _, err := c.line(); err != nil {
		return 0, err
	}
	return c.NamingService.Grant(ctx, ttl)
}

func (c *cuttable) Renew(ctx context.Context, id orchestrator.LeaseID) error {
	if _, err := c.line(); err != nil {
		return err
	}
	return c.NamingService.Renew(ctx, id)
}

func (c *cuttable) Revoke(ctx context.Context, id orchestrator.LeaseID) error {
	if _, err := c.line(); err != nil {
		return err
	}
	return c.NamingService.Revoke(ctx, id)
}
