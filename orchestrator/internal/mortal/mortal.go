// Package mortal wraps a driver for tests: its instances can be made to fail in every
// way that a manager and an agent have to cope with, and it counts what was started.
package mortal

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// First elements of a Command that the driver does not pass on.
const (
	Fail = "fail" // Start is ErrFunction
	Hang = "hang" // Start waits until its context ends, or for StartTimeout
)

// Driver is the wrapper. It implements driver.Driver.
type Driver struct {
	driver.Driver
	mu     sync.Mutex
	starts map[string]int           // by orchestrator.StartLabel
	byID   map[string]int           // likewise, by ID
	tasks  map[string]driver.Status // running or ended
	feeds  map[chan driver.Status]struct{}
}

// New wraps a driver.
func New(d driver.Driver) *Driver {
	return &Driver{Driver: d, starts: map[string]int{}, byID: map[string]int{}, tasks: map[string]driver.Status{},
		feeds: map[chan driver.Status]struct{}{}}
}

// Unwrap implements driver.Unwrapper.
func (m *Driver) Unwrap() driver.Driver { return m.Driver }

// Starts returns how often each start was executed, by orchestrator.StartLabel and by ID.
func (m *Driver) Starts() (byStart, byID map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.starts), maps.Clone(m.byID)
}

// Start implements driver.Driver.
func (m *Driver) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	m.mu.Lock()
	m.starts[t.Labels[orchestrator.StartLabel]]++
	m.byID[t.ID]++
	m.mu.Unlock()
	switch t.Command[0] {
	case Fail:
		return driver.Status{}, faas.Errorf("driver", "start", t.ID, faas.ErrFunction, "it ended before it was ready")
	case Hang:
		if t.StartTimeout == 0 {
			t.StartTimeout = faas.DefaultStartTimeout
		}
		ctx, cancel := context.WithTimeout(ctx, t.StartTimeout)
		defer cancel()
		<-ctx.Done()
		return driver.Status{}, faas.ContextError(ctx, "driver", "start", t.ID)
	}
	st, err := m.Driver.Start(ctx, t)
	if err == nil {
		m.mu.Lock()
		m.tasks[t.ID] = st
		m.mu.Unlock()
	}
	return st, err
}

// Stop implements driver.Driver.
func (m *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	err := m.Driver.Stop(ctx, id, grace)
	if err == nil {
		m.mu.Lock()
		delete(m.tasks, id)
		m.mu.Unlock()
	}
	return err
}

// Kill ends a running instance by itself, as kill -9 would; false: it is not running.
func (m *Driver) Kill(id string) bool {
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

// Running returns the IDs of what runs.
func (m *Driver) Running() map[string]bool {
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

// List implements driver.Driver.
func (m *Driver) List(ctx context.Context) ([]driver.Status, error) {
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

// Watch implements driver.Driver.
func (m *Driver) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
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
