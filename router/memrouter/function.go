package memrouter

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router"
)

// function is the state of one version of a function. What the warm path reads is
// at the top and seldom changes; the rest belongs to the slow path and is guarded by mu.
// Lock order: Router.mu, function.mu, a shard's lock.
type function struct {
	r       *Router
	fn      faas.Function
	key     string // fn.Ref as text
	slots   int    // of one instance
	max     int    // instances
	timeout time.Duration
	shards  atomic.Pointer[[]shard] // nil until it has its first instance
	waiting atomic.Int64            // requests in the queue
	probe   atomic.Pointer[share]   // what the next request tries: see health
	_       [64]byte

	mu                 sync.Mutex
	queue              queue
	arrived, completed uint64 // those that the shards do not see

	instances []*instance // all that are not gone, the oldest first
	ready     int         // of them, by state
	ejected   int
	draining  int
	made      int // instances made so far

	starting []*start // those on their way, the oldest first
	undoing  int      // cancelled starts that are not back yet

	wanted int // by Scale; -1: never told
	why    string

	proven   bool // the last start went well
	failures int  // failed starts in a row
	early    int  // instances in a row that ended by themselves without an answer
	cause    error
	retryAt  time.Time
	retry    *time.Timer

	active  time.Time // see router.Load
	seen    uint64    // arrivals when active was last set
	closing bool      // no new requests; end when the queue is empty
	deleted bool      // the registry no longer has it
	cut     bool      // end now
	gone    bool      // forgotten by the router: resolve again
	quiet   chan struct{}
}

func newFunction(r *Router, fn faas.Function) *function {
	f := &function{
		r: r, fn: fn, key: fn.Ref.String(), slots: min(fn.Spec.MaxPerInstance(), maxSlots), max: r.cfg.MaxInstances,
		timeout: fn.Spec.Timeout, wanted: -1, active: time.Now(), quiet: make(chan struct{}),
	}
	if fn.Spec.Scale.Max > 0 {
		f.max = fn.Spec.Scale.Max
	}
	return f
}

// total counts the instances that exist or may exist.
func (f *function) total() int { return len(f.instances) + len(f.starting) + f.undoing }

// settle brings the function in line with what is known, after every event of the slow
// path: it serves who waits, revives and starts what is missing, and ends what has to end.
func (f *function) settle() {
	f.dispatch()
	for f.missing() > 0 && f.revive() {
		f.dispatch()
	}
	f.startMissing()
	if (f.closing || f.deleted || f.cut) && f.queue.n == 0 {
		f.end()
	}
}

// forQueue is how many starting instances the queue asks for: ceil(waiting/slots).
func (f *function) forQueue() int {
	if f.queue.n == 0 {
		return 0
	}
	return (f.queue.n-1)/f.slots + 1
}

// missing is how many instances the queue or Scale ask for beyond those that are there or on their way.
func (f *function) missing() int {
	switch {
	case f.deleted || f.cut:
		return 0
	case f.closing:
		return f.forQueue() - len(f.starting)
	}
	return max(f.forQueue(), f.wanted-f.ready) - len(f.starting)
}

// demand explains what missing counted.
func (f *function) demand() string {
	if f.forQueue() > len(f.starting) {
		return fmt.Sprintf("%d waiting, %d per instance, %d ready, %d starting", f.queue.n, f.slots, f.ready, len(f.starting))
	}
	return fmt.Sprintf("scaled to %d (%s), %d ready, %d starting", f.wanted, f.why, f.ready, len(f.starting))
}

// startMissing starts what is missing within the bound on instances, the back-off after failed
// starts, and one at a time until a start has gone well.
func (f *function) startMissing() {
	n := min(f.missing(), f.max-f.total())
	if n > 0 && f.early > 0 && slices.ContainsFunc(f.instances, func(in *instance) bool { _, answered := in.use(); return answered > 0 }) {
		f.startsWell()
	}
	if !f.proven {
		n = min(n, 1-len(f.starting))
	}
	if n <= 0 {
		return
	}
	if f.cause != nil {
		if wait := time.Until(f.retryAt); wait > 0 {
			if f.retry == nil {
				f.retry = time.AfterFunc(wait, f.retryNow)
			}
			return
		}
	}
	why := f.demand()
	for range n {
		f.start(why)
	}
}

func (f *function) retryNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retry = nil
	f.settle()
}

// trim cancels starts that neither the queue nor Scale ask for, the youngest first.
func (f *function) trim(why string) {
	keep := max(f.forQueue(), f.wanted-f.ready)
	for n := len(f.starting); n > max(keep, 0); n = len(f.starting) {
		f.cancelStart(f.starting[n-1], why)
	}
}

// end cancels every start and drains every instance; quiet is closed when nothing is left.
func (f *function) end() {
	for len(f.starting) > 0 {
		f.cancelStart(f.starting[len(f.starting)-1], "the function is ending")
	}
	why := "the router shuts down"
	if f.deleted {
		why = "the function was deleted"
	}
	for _, in := range f.instances {
		if in.state < draining {
			f.drain(in, why)
		}
		if f.cut {
			f.stop(in, "the router is out of time")
		}
	}
	if f.total() == 0 {
		if f.retry != nil {
			f.retry.Stop()
			f.retry = nil
		}
		select {
		case <-f.quiet:
		default:
			close(f.quiet)
		}
	}
}

// close begins the end: no new requests, the queue is still served.
func (f *function) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing, f.wanted = true, -1
	f.settle()
}

// sever ends everything at once.
func (f *function) sever() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing, f.cut, f.wanted = true, true, -1
	f.fail(errClosed("invoke", f.key))
	f.settle()
}

// remove ends the function because the registry no longer has it.
func (f *function) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deleted {
		return
	}
	f.deleted, f.wanted = true, -1
	f.record(Event{Kind: Deleted, Why: "the registry no longer has it"})
	f.fail(f.notFound())
	f.settle()
}

// forget marks the function as forgotten if it has nothing and nobody wants it since
// the given time, or at once when it was deleted.
func (f *function) forget(since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	idle := f.deleted || (f.wanted <= 0 && f.active.Before(since) && time.Now().After(f.retryAt))
	if !idle || f.closing || f.gone || f.total() > 0 || f.queue.n > 0 {
		return f.gone
	}
	if _, arrived, _, _ := f.counts(); !f.deleted && arrived+f.arrived != f.seen {
		return false
	}
	if f.retry != nil {
		f.retry.Stop()
	}
	f.gone = true
	return true
}

// load is the function's present load; ok is false when it has nothing to show.
func (f *function) load(now time.Time) (l router.Load, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	busy, arrived, completed, _ := f.counts()
	l = router.Load{
		Function: f.fn, InFlight: busy, Queued: f.queue.n,
		Arrived: arrived + f.arrived, Completed: completed + f.completed,
		Ready: f.ready, Starting: len(f.starting), Draining: f.draining, Wanted: f.wanted,
	}
	if l.InFlight+l.Queued > 0 || l.Arrived != f.seen {
		f.active, f.seen = now, l.Arrived
	}
	l.LastActive = f.active
	return l, f.total() > 0 || l.Arrived > 0 || f.wanted >= 0
}

func (f *function) notFound() error {
	return faas.Errorf("router", "invoke", f.key, faas.ErrNotFound, "this version was deleted")
}

// startError is what callers are told when no instance could be started.
func (f *function) startError(cause error, wait time.Duration) error {
	class := faas.Class(cause)
	if errors.Is(class, faas.ErrCanceled) || errors.Is(class, faas.ErrClosed) {
		class = faas.ErrUnavailable // not by the caller, and not this router
		cause = fmt.Errorf("%v", cause)
	}
	return &faas.Error{Component: "router", Op: "start", Key: f.key, Class: class, Err: cause, RetryAfter: wait,
		Next: "no instance could be started; the cause says which part to look at"}
}

// scale is Router.Scale for this version.
func (f *function) scale(n int, why string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.gone:
		return errGone
	case f.closing:
		return errClosed("scale", f.key)
	case f.deleted:
		return faas.Errorf("router", "scale", f.key, faas.ErrNotFound, "this version was deleted")
	}
	if n = min(n, f.max); n != f.wanted {
		f.record(Event{Kind: Scaled, Instances: n, Why: why})
	}
	f.wanted, f.why = n, why
	if f.queue.n == 0 {
		f.trim(why)
		f.shrink(f.ready+f.ejected+len(f.starting)-n, why)
	}
	f.settle()
	return nil
}

// released is called after a slot was given back while something waits for that.
func (f *function) released(in *instance, answered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if answered {
		f.healthy(in)
	}
	if in.state == draining {
		f.stopIdle(in)
	}
	f.settle()
}
