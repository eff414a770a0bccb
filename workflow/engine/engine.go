package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

const component = "workflow engine"

// Config is what New needs.
type Config struct {
	// Functions is what calls go to. Required.
	Functions faas.Invoker
	// Registry (W1) resolves the workflows that are started by name. Required.
	Registry workflow.Registry
	// Languages compile definitions. Required.
	Languages *workflow.Languages
	// Scheduler (W3) decides which ready calls run when. Required; it belongs to the engine from then on.
	Scheduler workflow.Scheduler
	// Store (W4) keeps standard workflows. Nil: they are refused.
	Store workflow.Store
	// Express keeps express workflows, usually in memory. Nil: they are refused. At least one of both is required.
	Express workflow.Store
	// Prewarm starts instances that the scheduler expects to be needed. Nil: such wishes are dropped.
	Prewarm Prewarmer
	// Limits bound what one execution may hold.
	Limits Limits
	// Retention is how long closed executions are kept whose definition does not say. Zero: 7 days.
	Retention time.Duration
	// Clock is the machine's clock, for tests in which it jumps. Nil: time.Now.
	Clock func() time.Time
	// Logger gets what an operator should know. Nil: nothing is logged.
	Logger *slog.Logger
}

// Prewarmer starts an instance of a function before it is called. It is called in a
// goroutine of its own; an error is logged and changes nothing.
type Prewarmer interface {
	Prewarm(ctx context.Context, p workflow.Prewarm) error
}

// Limits bound what one execution may hold. Zero values are the defaults.
type Limits struct {
	// InHand is the largest payload in bytes that an event holds itself; the store keeps larger ones apart,
	// by their digest. Default: 32 KiB.
	InHand int
	// Payload is the largest payload in bytes. A step whose output is larger fails with
	// workflow.FailureLimit. Default: 16 MiB.
	Payload int64
	// OpenSteps is how many steps of an execution may be open. One more ends it with
	// workflow.FailureLimit. Default: 100,000.
	OpenSteps int
	// Snapshot is the number of events after which the Program's state is saved, at least; a large
	// state is saved less often. Default: 1,000.
	Snapshot int
	// History is the number of events after which the log is continued as a new one, for Programs
	// with snapshots. Default: 50,000.
	History int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.InHand, 32<<10)
	set(&l.OpenSteps, 100_000)
	set(&l.Snapshot, 1_000)
	set(&l.History, 50_000)
	if l.Payload == 0 {
		l.Payload = 16 << 20
	}
	return l
}

const defaultRetention = 7 * 24 * time.Hour

// Engine is a workflow engine (W2). See the package documentation.
type Engine struct {
	functions faas.Invoker
	registry  workflow.Registry
	languages *workflow.Languages
	stores    []workflow.Store // those that are configured
	standard  workflow.Store
	express   workflow.Store
	prewarm   Prewarmer
	limits    Limits
	retention time.Duration
	clock     func() time.Time
	log       *slog.Logger

	runs     table
	sched    schedule
	timers   timers
	tasks    tasks
	programs programs

	state     atomic.Int32 // a phase
	recovered chan struct{}
	ctx       context.Context // ends at the end
	cancel    context.CancelFunc
	stop      chan struct{} // closed to end the loops
	work      work
	mu        sync.Mutex // serialises life-cycle changes
	calls     atomic.Int64
	idle      chan struct{} // signalled when calls becomes 0

	health  atomic.Pointer[faas.Error] // why nothing is accepted
	noSpace atomic.Bool
	probed  atomic.Int64 // when a start was let through last although there was no space
}

// The phases of an engine's life.
const (
	phaseNew int32 = iota
	phaseRecovering
	phaseRunning
	phaseStopping // nothing new is accepted, what runs goes on
	phaseClosed
)

var _ workflow.Engine = (*Engine)(nil)

// New returns an engine that does nothing before Recover. ErrInvalidArgument lists every fault of the Config.
func New(c Config) (*Engine, error) {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf(component, "new", field, faas.ErrInvalidArgument, "%s", rule))
	}
	need := func(field string, missing bool) {
		if missing {
			bad(field, "is required")
		}
	}
	need("functions", c.Functions == nil)
	need("registry", c.Registry == nil)
	need("languages", c.Languages == nil)
	need("scheduler", c.Scheduler == nil)
	if c.Store == nil && c.Express == nil {
		bad("store", "neither Store nor Express is set")
	}
	if c.Retention < 0 {
		bad("retention", "is negative")
	}
	if l := c.Limits; l.InHand < 0 || l.Payload < 0 || l.OpenSteps < 0 || l.Snapshot < 0 || l.History < 0 {
		bad("limits", "one is negative")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	e := &Engine{
		functions: c.Functions, registry: c.Registry, languages: c.Languages,
		standard: c.Store, express: c.Express, prewarm: c.Prewarm,
		limits: c.Limits.withDefaults(), retention: c.Retention, clock: c.Clock, log: c.Logger,
		recovered: make(chan struct{}), stop: make(chan struct{}), idle: make(chan struct{}, 1),
	}
	if e.retention == 0 {
		e.retention = defaultRetention
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for _, s := range []workflow.Store{c.Store, c.Express} {
		if s != nil && (len(e.stores) == 0 || e.stores[0] != s) {
			e.stores = append(e.stores, s)
		}
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.work.idle = make(chan struct{}, 1)
	e.runs.init()
	e.sched.init(e, c.Scheduler)
	e.timers.init(e)
	e.tasks.init(e)
	e.programs.m = make(map[faas.Ref]*compiled)
	return e, nil
}

// now is the machine's clock, in UTC and without the reading of the monotonic one: what logs hold.
func (e *Engine) now() time.Time { return e.clock().Round(0).UTC() }

// ready returns an error unless the engine accepts calls of op.
func (e *Engine) ready(op string) error {
	switch e.state.Load() {
	case phaseNew, phaseRecovering:
		err := faas.Errorf(component, op, "", faas.ErrConflict, "the engine was not started")
		err.Next = "call Recover first"
		return err
	case phaseClosed:
		return faas.Errorf(component, op, "", faas.ErrClosed, "the engine was closed")
	}
	return nil
}

// accepts returns an error unless the engine takes new work.
func (e *Engine) accepts(op string) error {
	if err := e.ready(op); err != nil {
		return err
	}
	if e.state.Load() == phaseStopping {
		return faas.Errorf(component, op, "", faas.ErrClosed, "the engine is shutting down")
	}
	if err := e.Health(); err != nil {
		return err
	}
	if e.noSpace.Load() && !(op == "start" && e.probe()) {
		err := faas.Errorf(component, op, "", faas.ErrExhausted, "the store has no space")
		err.Next, err.RetryAfter = "free space; what runs waits for it", time.Second
		return err
	}
	return nil
}

// probe lets one start in every probeEvery find out whether there is space again.
func (e *Engine) probe() bool {
	last, now := e.probed.Load(), int64(time.Since(e.sched.base))
	return now-last >= int64(probeEvery) && e.probed.CompareAndSwap(last, now)
}

const probeEvery = time.Second

// Health returns nil while the engine can do its work. After a store failed to make a write durable it is
// ErrUnavailable for good: open the store anew, and a new engine over it.
func (e *Engine) Health() error {
	if err := e.health.Load(); err != nil {
		return err
	}
	return nil
}

// poison stops the engine from accepting anything.
func (e *Engine) poison(cause error) {
	err := faas.Errorf(component, "append", "", faas.ErrUnavailable, "the store failed: %w", cause)
	err.Next = "open the store anew and start a new engine over it; nothing that was acknowledged is lost"
	if e.health.CompareAndSwap(nil, err) {
		e.log.Error("workflow engine stops: its store failed", "error", cause)
	}
}

// spawn runs f in a goroutine that Shutdown waits for; not any more once the engine has ended.
func (e *Engine) spawn(f func()) {
	if !e.work.begin() {
		return
	}
	go func() {
		defer e.work.end()
		f()
	}()
}

// work counts goroutines. It is a WaitGroup that may be added to while somebody waits, and closes.
type work struct {
	n      atomic.Int64
	closed atomic.Bool
	idle   chan struct{}
}

func (w *work) begin() bool {
	w.n.Add(1)
	if w.closed.Load() {
		w.end()
		return false
	}
	return true
}

func (w *work) end() {
	if w.n.Add(-1) == 0 && w.closed.Load() {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}

// close admits nothing more and waits for what runs.
func (w *work) close() {
	w.closed.Store(true)
	for w.n.Load() > 0 {
		<-w.idle
	}
}

// storeOf returns the store for the durability.
func (e *Engine) storeOf(d workflow.Durability, op, key string) (workflow.Store, error) {
	s, name := e.standard, "Store"
	if d == workflow.Express {
		s, name = e.express, "Express"
	}
	if s == nil {
		err := faas.Errorf(component, op, key, faas.ErrUnimplemented, "the engine has no store for this durability")
		err.Next = "set Config." + name
		return nil, err
	}
	return s, nil
}

// Shutdown takes nothing new, waits until no function runs any more or ctx ends, then cancels what runs
// and frees everything. Executions stay open in the store: Recover of the next engine goes on with
// them. The stores, the registry and the functions are left to their owner. After the first, Shutdown and Close are nil.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.state.Swap(phaseStopping)
	if before == phaseClosed {
		e.state.Store(phaseClosed)
		return nil
	}
	var err error
	e.sched.halt()
	if before != phaseNew {
		for e.calls.Load() > 0 && err == nil {
			select {
			case <-e.idle:
			case <-ctx.Done():
				err = faas.ContextError(ctx, component, "shutdown", "")
			}
		}
	}
	e.state.Store(phaseClosed)
	e.cancel()
	close(e.stop)
	e.timers.halt()
	e.runs.each(func(x *run) { x.abandon() })
	e.work.close()
	return err
}

// Close is Shutdown without waiting for functions.
func (e *Engine) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Shutdown(ctx); err != nil && !errors.Is(err, faas.ErrCanceled) {
		return err
	}
	return nil
}
