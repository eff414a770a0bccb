package memrouter

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/ring"
	"github.com/joinery/faas/router"
)

// Router is a router.Router that keeps its queues in memory. Create it with New.
// All methods are safe for concurrent use.
type Router struct {
	routes  *routes
	hints   sync.Pool // *hint
	waiters sync.Pool // *waiter
	cfg     Config
	log     *slog.Logger
	events  *ring.Ring[Event]
	made    time.Time

	ctx    context.Context // of starts and stops; ends when Shutdown is out of time
	cancel context.CancelFunc
	halt   chan struct{}  // closed: no more background work
	work   sync.WaitGroup // every goroutine

	mu      sync.Mutex
	fns     map[faas.Ref]*function // by complete Ref
	running bool
	closed  bool
	stopped chan struct{} // closed when Shutdown is through
}

var _ router.Router = (*Router)(nil)

// New returns a router that is not started. It reports everything that is wrong with c
// at once, as ErrInvalidArgument.
func New(c Config) (*Router, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Router{
		routes: newRoutes(), made: time.Now(), cfg: c, log: c.Logger, events: ring.New[Event](c.Events),
		fns: map[faas.Ref]*function{}, halt: make(chan struct{}), stopped: make(chan struct{}),
	}
	r.waiters.New = func() any { return &waiter{ready: make(chan struct{}, 1)} }
	next := 0
	var mu sync.Mutex
	r.hints.New = func() any {
		mu.Lock()
		defer mu.Unlock()
		next++
		return &hint{at: next}
	}
	return r, nil
}

// Start begins to follow the registry and to look after instances. ctx gives its values to the
// router's work but does not bound it. Errors: ErrClosed after Shutdown, ErrConflict when started.
func (r *Router) Start(ctx context.Context) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "router", "start", "")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed("start", "")
	}
	if r.running {
		return faas.Errorf("router", "start", "", faas.ErrConflict, "it is started already")
	}
	r.running = true
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	reg, watched := r.cfg.Resolver.(watcher)
	r.work.Go(func() { r.lookAfter(!watched) })
	if watched {
		r.work.Go(func() { r.follow(reg) })
	}
	return nil
}

// Shutdown stops the intake, serves the queues, waits for the requests in flight and stops
// every instance. When ctx ends it cuts short: what still waits gets ErrClosed, what
// still runs is stopped at once, and the error is that of ctx. Twice is nil.
func (r *Router) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		select {
		case <-r.stopped:
			return nil
		case <-ctx.Done():
			return faas.ContextError(ctx, "router", "shut down", "")
		}
	}
	r.closed = true
	if !r.running {
		close(r.stopped)
		r.mu.Unlock()
		return nil
	}
	fns := make([]*function, 0, len(r.fns))
	for _, f := range r.fns {
		fns = append(fns, f)
	}
	r.mu.Unlock()

	r.routes.close()
	for _, f := range fns {
		f.close()
	}
	err := r.await(ctx, fns)
	if err != nil {
		r.cancel()
		for _, f := range fns {
			f.sever()
		}
		slack, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutSlack)
		defer cancel()
		if late := r.await(slack, fns); late != nil { // a deployer or an instance does not return: leave it behind
			close(r.halt)
			close(r.stopped)
			return errors.Join(err, late)
		}
	}
	r.cancel()
	close(r.halt)
	r.work.Wait()
	close(r.stopped)
	return err
}

// await waits until every function has ended.
func (r *Router) await(ctx context.Context, fns []*function) error {
	for _, f := range fns {
		select {
		case <-f.quiet:
		case <-ctx.Done():
			return faas.ContextError(ctx, "router", "shut down", f.key)
		}
	}
	return nil
}

// Scale implements router.Scaler. A number above the bound on instances is lowered to it. What
// requests start beyond the number stays until the next call.
func (r *Router) Scale(ctx context.Context, fn faas.Ref, instances int, why string) error {
	if instances < 0 {
		return faas.Errorf("router", "scale", fn.String(), faas.ErrInvalidArgument, "%d instances: the number is negative", instances)
	}
	for {
		f, err := r.resolve(ctx, fn)
		if err != nil {
			return err
		}
		if err := f.scale(instances, why); !errors.Is(err, errGone) {
			return err
		}
	}
}

// Loads implements router.Observer.
func (r *Router) Loads() iter.Seq[router.Load] {
	return func(yield func(router.Load) bool) {
		now := time.Now()
		for _, f := range r.functions() {
			if l, ok := f.load(now); ok && !yield(l) {
				return
			}
		}
	}
}

func (r *Router) functions() []*function {
	r.mu.Lock()
	defer r.mu.Unlock()
	fns := make([]*function, 0, len(r.fns))
	for _, f := range r.fns {
		fns = append(fns, f)
	}
	return fns
}

// function returns the state of that version, a new one if need be.
func (r *Router) function(fn faas.Function) (*function, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.running {
		return nil, errClosed("invoke", fn.Ref.String())
	}
	f := r.fns[fn.Ref]
	if f == nil {
		f = newFunction(r, fn)
		r.fns[fn.Ref] = f
	}
	return f, nil
}

// release forgets a deleted function once it has nothing left.
func (r *Router) release(f *function) {
	f.mu.Lock()
	over := f.deleted && f.total() == 0
	f.mu.Unlock()
	if over {
		r.forget(f, time.Time{})
	}
}

// forget drops a function that has nothing and was not wanted since the given time.
func (r *Router) forget(f *function, since time.Time) {
	r.mu.Lock()
	gone := !r.closed && f.forget(since)
	if gone && r.fns[f.fn.Ref] == f {
		delete(r.fns, f.fn.Ref)
	}
	r.mu.Unlock()
	if gone {
		r.routes.invalidate(f.fn.Ref)
	}
}

// lookAfter checks the instances' health and forgets what is over.
func (r *Router) lookAfter(expire bool) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var expired <-chan time.Time
	if expire {
		t := time.NewTicker(r.cfg.ResolveFor)
		defer t.Stop()
		expired = t.C
	}
	for {
		select {
		case now := <-check.C:
			for _, f := range r.functions() {
				f.check(now)
			}
		case now := <-sweep.C:
			for _, f := range r.functions() {
				f.load(now)
				r.forget(f, now.Add(-forgetAfter))
			}
		case <-expired:
			r.routes.clear()
		case <-r.halt:
			return
		}
	}
}

// errGone says that the router has forgotten the function meanwhile: resolve it again.
var errGone = errors.New("forgotten")

func errClosed(op, key string) error {
	return &faas.Error{Component: "router", Op: op, Key: key, Class: faas.ErrClosed,
		Err: errors.New("the router is not running"), Next: "call Start first; after Shutdown make a new one"}
}
