// Package memdriver is a driver whose instances are Go handlers in the platform's own
// process: the fastest start and the fastest call, for trusted code, for tests and
// for functions that are part of the platform. A node agent (R4 of the SPEC-RG
// reference architecture) uses it like any other driver.
//
// A task's Command is one element, the name of a handler. With the contract
// faas.ContractHandler the endpoint is the instance itself, and [Driver.Connect] makes
// it callable; with faas.ContractSocket and faas.ContractHTTP the handler is served by
// net/http on a unix socket or a loopback port, as a process would.
//
// Handlers share the platform's process: there are no limits and no isolation, and
// asking for them is refused. A task's Env is not applied, for a process has one environment.
//
// # Snippet
//
//	d := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
//	st, err := d.Start(ctx, driver.Task{ID: "i1", Contract: faas.ContractHandler, Command: []string{"hello"}})
//	inst, err := d.Connect(ctx, fn, st.Endpoint) // d is the deployer.Connector for network "handler"
//	resp, err := inst.Invoke(ctx, req)
//
// # Errors
//
// As driver.Driver says. Whatever a handler returns or panics with is ErrFunction; a
// call after Stop has begun is ErrUnavailable, for it never reached the handler.
//
// # Concurrency
//
// All methods are safe for concurrent use. A call costs one atomic addition before
// and after it, and no allocation.
package memdriver

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

const component = "memdriver"

// Network is the network of the endpoints that Connect accepts.
const Network = "handler"

// Options of New; nil means none.
type Options struct {
	// Handlers are what tasks can run, by name. The map is copied.
	Handlers map[string]faas.Invoker
	// Logger receives starts and stops at debug level and panics of handlers as warnings. Nil: discard.
	Logger *slog.Logger
}

// Driver runs handlers. It implements driver.Driver and deployer.Connector.
type Driver struct {
	handlers map[string]faas.Invoker
	log      *slog.Logger
	feed     driver.Feed

	mu     sync.Mutex
	tasks  map[string]*task
	ending sync.WaitGroup // ends of tasks under way
	closed bool
	gone   chan struct{} // closed when Close has finished
}

var _ driver.Driver = (*Driver)(nil)

// New returns a driver for the given handlers.
func New(o *Options) *Driver {
	if o == nil {
		o = &Options{}
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Driver{handlers: maps.Clone(o.Handlers), log: log, tasks: map[string]*task{}, gone: make(chan struct{})}
}

func info() driver.Info {
	return driver.Info{
		Name:      "mem",
		Version:   "1",
		Contracts: []faas.Contract{faas.ContractHandler, faas.ContractSocket, faas.ContractHTTP},
		Isolation: faas.IsolationNone,
	}
}

// Info implements driver.Driver.
func (d *Driver) Info(ctx context.Context) (driver.Info, error) {
	return info(), d.check(ctx, "info", "")
}

// check returns the error that every call begins with.
func (d *Driver) check(ctx context.Context, op, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checkLocked(ctx, op, key)
}

func (d *Driver) checkLocked(ctx context.Context, op, key string) error {
	if d.closed {
		return faas.Errorf(component, op, key, faas.ErrClosed, "the driver was closed")
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, op, key)
	}
	return nil
}

// Start implements driver.Driver. A handler is ready at once.
func (d *Driver) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	offered := info()
	if err := offered.Accepts(&t); err != nil {
		return driver.Status{}, err
	}
	if len(t.Command) != 1 {
		return driver.Status{}, faas.Errorf(component, "start", t.ID, faas.ErrInvalidArgument,
			"the command has %d elements; a handler takes no arguments, so it is the handler's name alone", len(t.Command))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkLocked(ctx, "start", t.ID); err != nil {
		return driver.Status{}, err
	}
	h := d.handlers[t.Command[0]]
	if h == nil {
		err := faas.Errorf(component, "start", t.ID, faas.ErrNotFound, "there is no handler %q", t.Command[0])
		err.Next = "add it to Options.Handlers"
		return driver.Status{}, err
	}
	if _, taken := d.tasks[t.ID]; taken {
		return driver.Status{}, faas.Errorf(component, "start", t.ID, faas.ErrAlreadyExists, "a task of that id is listed")
	}
	started := time.Now()
	run := &task{id: t.ID, handler: h, log: d.log, calls: newCalls(), gone: make(chan struct{})}
	ep, err := run.open(t.Contract)
	if err != nil {
		return driver.Status{}, faas.Errorf(component, "start", t.ID, faas.ErrExhausted, "%w", err)
	}
	run.status = driver.Status{ID: t.ID, State: driver.StateRunning, Endpoint: ep,
		Labels: maps.Clone(t.Labels), Started: started, Ready: time.Now()}
	d.tasks[t.ID] = run
	d.feed.Publish(run.status)
	d.log.Debug("started", "id", t.ID, "handler", t.Command[0], "endpoint", ep.Address)
	return run.status, nil
}

// Stop implements driver.Driver. It waits up to grace for the calls in flight. A
// handler cannot be ended by force: a call that is in flight after that loses its
// connection where it has one, and its goroutine lives until the handler returns.
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return faas.Errorf(component, "stop", id, faas.ErrClosed, "the driver was closed")
	}
	t := d.tasks[id]
	if t == nil {
		d.mu.Unlock()
		return faas.Errorf(component, "stop", id, faas.ErrNotFound, "no task of that id is listed")
	}
	d.end(t, grace)
	d.mu.Unlock()
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "stop", id)
	}
}

// end begins the end of a task, or shortens the grace of one under way. The caller holds mu.
func (d *Driver) end(t *task, grace time.Duration) {
	deadline := time.Now().Add(grace)
	if t.force != nil {
		if deadline.Before(t.deadline) {
			t.deadline = deadline
			t.force.Reset(grace)
		}
		return
	}
	t.deadline, t.force = deadline, time.AfterFunc(grace, t.calls.settle)
	d.ending.Go(func() {
		t.close()
		d.mu.Lock()
		defer d.mu.Unlock()
		t.force.Stop()
		delete(d.tasks, t.id)
		t.status.State, t.status.Exit = driver.StateGone, &driver.Exit{Reason: driver.ExitStopped, Code: -1}
		d.feed.Publish(t.status)
		d.log.Debug("stopped", "id", t.id)
		close(t.gone)
	})
}

// List implements driver.Driver, in the order of the ids.
func (d *Driver) List(ctx context.Context) ([]driver.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkLocked(ctx, "list", ""); err != nil {
		return nil, err
	}
	return d.statuses(), nil
}

// statuses is what is listed. The caller holds mu.
func (d *Driver) statuses() []driver.Status {
	all := make([]driver.Status, 0, len(d.tasks))
	for _, t := range d.tasks {
		all = append(all, t.status)
	}
	slices.SortFunc(all, func(a, b driver.Status) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Watch implements driver.Driver.
func (d *Driver) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return d.feed.Watch(ctx, func(register func(...driver.Status)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		register(d.statuses()...)
	})
}

// Close implements driver.Driver. Calls in flight are not waited for; see Stop.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.gone
		return nil
	}
	d.closed = true
	for _, t := range d.tasks {
		d.end(t, 0)
	}
	d.mu.Unlock()
	d.ending.Wait()
	d.feed.Close()
	close(d.gone)
	return nil
}
