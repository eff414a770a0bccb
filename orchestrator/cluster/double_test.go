package cluster_test

import (
	"context"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
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

// mortal is a driver whose instances can be made to end by themselves, and that counts
// how often each start was executed.
type mortal struct {
	driver.Driver
	mu     sync.Mutex
	starts map[string]int // by orchestrator.StartLabel
	byID   map[string]int
	tasks  map[string]driver.Status // running or ended
	feeds  map[chan driver.Status]struct{}
	failed map[string]error // starts to refuse, by ID
}

func newMortal(d driver.Driver) *mortal {
	return &mortal{Driver: d, starts: map[string]int{}, byID: map[string]int{}, tasks: map[string]driver.Status{},
		feeds: map[chan driver.Status]struct{}{}, failed: map[string]error{}}
}

func (m *mortal) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	m.mu.Lock()
	m.starts[t.Labels[orchestrator.StartLabel]]++
	m.byID[t.ID]++
	err := m.failed[t.ID]
	m.mu.Unlock()
	if err != nil {
		return driver.Status{}, err
	}
	st, err := m.Driver.Start(ctx, t)
	if err == nil {
		m.mu.Lock()
		m.tasks[t.ID] = st
		m.mu.Unlock()
	}
	return st, err
}

func (m *mortal) Stop(ctx context.Context, id string, grace time.Duration) error {
	err := m.Driver.Stop(ctx, id, grace)
	if err == nil {
		m.mu.Lock()
		delete(m.tasks, id)
		m.mu.Unlock()
	}
	return err
}

// kill ends the instance by itself, as kill -9 would.
func (m *mortal) kill(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	st, ok := m.tasks[id]
	if !ok || st.State != driver.StateRunning {
		return false
	}
	st.State, st.Exit = driver.StateEnded, &driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: "SIGKILL"}
	m.tasks[id] = st
	for f := range m.feeds {
		f <- st
	}
	return true
}

// running returns the IDs of what runs.
func (m *mortal) running() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := map[string]bool{}
	for id, st := range m.tasks {
		if st.State == driver.StateRunning {
			ids[id] = true
		}
	}
	return ids
}

func (m *mortal) List(ctx context.Context) ([]driver.Status, error) {
	all, err := m.Driver.List(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range all {
		if st, ok := m.tasks[all[i].ID]; ok {
			all[i] = st
		}
	}
	return all, err
}

func (m *mortal) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return func(yield func(driver.Status, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		kills := make(chan driver.Status, 1024)
		m.mu.Lock()
		m.feeds[kills] = struct{}{}
		for _, st := range maps.Clone(m.tasks) {
			if st.State == driver.StateEnded {
				kills <- st
			}
		}
		m.mu.Unlock()
		type item struct {
			st  driver.Status
			err error
		}
		inner := make(chan item)
		var pump sync.WaitGroup
		pump.Go(func() {
			for st, err := range m.Driver.Watch(ctx) {
				select {
				case inner <- item{st, err}:
				case <-ctx.Done():
					if err != nil {
						return
					}
				}
			}
		})
		defer func() {
			cancel()
			pump.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.feeds, kills)
		}()
		for {
			select {
			case st := <-kills:
				if !yield(st, nil) {
					return
				}
			case it := <-inner:
				if !yield(it.st, it.err) || it.err != nil {
					return
				}
			case <-ctx.Done():
				yield(driver.Status{}, faas.ContextError(ctx, "driver", "watch", ""))
				return
			}
		}
	}
}
