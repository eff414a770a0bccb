package memrouter

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
)

// state is where an instance is in its life; the order is used.
type state int

const (
	ready    state = iota // takes requests
	ejected               // does not answer: not picked, but for a probe now and then
	draining              // finishes its requests; may be revived
	stopping              // told to stop
)

// instance is one function instance. All fields are guarded by the function's lock, but for
// those that never change and the shares, which belong to their shards.
type instance struct {
	inst   faas.Instance
	id     string
	f      *function
	shares []share
	// marked: a call that ends has to tell the function (see released). The warm path reads it.
	marked atomic.Bool

	state state
	dead  bool          // stopping: it ended by itself
	cold  *faas.Timing  // its start, while the first requests are handed to it
	halt  chan struct{} // closed: stop it
	limit *time.Timer   // ends the draining
	health
}

// start is an instance on its way.
type start struct {
	f         *function
	why       string
	cancel    context.CancelFunc
	cancelled bool
	timing    faas.Timing
}

// start begins a start under a context of the router's own: every waiter waits for it.
func (f *function) start(why string) {
	ctx, cancel := context.WithCancel(f.r.ctx)
	s := &start{f: f, why: why, cancel: cancel}
	f.starting = append(f.starting, s)
	f.record(Event{Kind: Starting, Why: why})
	f.r.work.Go(func() {
		defer cancel()
		s.run(ctx)
	})
}

// cancelStart gives a start up. It counts until Deploy has returned.
func (f *function) cancelStart(s *start, why string) {
	f.starting = slices.DeleteFunc(f.starting, func(o *start) bool { return o == s })
	f.undoing++
	s.cancelled = true
	s.cancel()
	f.record(Event{Kind: StartCancelled, Why: why})
}

// run is the whole life of an instance: one goroutine from its start to its end.
func (s *start) run(ctx context.Context) {
	f, log := s.f, s.f.r.log
	began := time.Now()
	inst, err := f.r.cfg.Deployer.Deploy(faas.WithTiming(ctx, &s.timing), f.fn, nil)
	took := time.Since(began)
	if err == nil && inst == nil {
		err = faas.Errorf("router", "start", f.key, faas.ErrInternal, "the deployer returned neither an instance nor an error")
	}
	if err != nil {
		if f.startFailed(s, err) {
			log.Warn("instance did not start", slog.String("function", f.key), slog.String("why", s.why), slog.Duration("after", took), slog.Any("error", err))
		}
		f.r.release(f)
		return
	}
	in := f.started(s, inst, took)
	log.Info("instance ready", slog.String("function", f.key), slog.String("instance", in.id), slog.String("why", s.why), slog.Duration("after", took))
	select {
	case <-inst.Done():
	case <-in.halt:
		stopCtx, cancel := context.WithTimeout(f.r.ctx, f.grace()+stopSlack)
		err = inst.Stop(stopCtx)
		cancel()
	}
	ended := err
	if ended == nil {
		ended = inst.Err()
	}
	why := f.ended(in, ended)
	log.Info("instance gone", slog.String("function", f.key), slog.String("instance", in.id), slog.String("why", why), slog.Any("error", ended))
	f.r.release(f)
}

// done takes a start that came back out of the books.
func (f *function) done(s *start) {
	if s.cancelled {
		f.undoing--
		return
	}
	f.starting = slices.DeleteFunc(f.starting, func(o *start) bool { return o == s })
}

// startFailed books a failed start, tells the queue when nothing else can serve it, and
// reports whether it was a failure rather than our own cancelling.
func (f *function) startFailed(s *start, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done(s)
	if s.cancelled || f.cut {
		f.settle()
		return false
	}
	f.record(Event{Kind: StartFailed, Why: s.why, Timing: s.timing, Err: err})
	f.backOff(err)
	f.settle()
	return true
}

// backOff puts the next start off and tells the queue why when nothing else can serve it.
func (f *function) backOff(cause error) {
	f.proven, f.cause = false, cause
	if now := time.Now(); !now.Before(f.retryAt) { // those that failed together count once
		f.retryAt = now.Add(min(firstBackoff<<min(f.failures, maxDoublings), maxBackoff))
		f.failures++
	}
	if f.ready+f.ejected+f.draining == 0 && len(f.starting) == 0 {
		f.fail(f.startError(cause, time.Until(f.retryAt)))
	}
}

// startsWell forgets what failed before.
func (f *function) startsWell() {
	f.proven, f.failures, f.early, f.cause = true, 0, 0, nil
}

// started puts a new instance to work and hands it to the longest waiting.
func (f *function) started(s *start, inst faas.Instance, took time.Duration) *instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done(s)
	if f.early == 0 {
		f.startsWell()
	}
	f.record(Event{Kind: Ready, Instance: inst.ID(), Why: s.why, Timing: s.timing, Took: took})
	shards := f.shards.Load()
	if shards == nil {
		shards = newShards()
		f.shards.Store(shards)
	}
	in := &instance{inst: inst, id: inst.ID(), f: f, halt: make(chan struct{})}
	in.shares = newShares(in, *shards, f.slots, f.made)
	f.made++
	f.instances = append(f.instances, in)
	if s.cancelled { // too late to be undone: revived if it is needed after all
		in.state = draining
		in.marked.Store(true)
		f.draining++
	} else {
		f.ready++
		in.open()
	}
	in.cold = &s.timing
	f.settle()
	in.cold = nil
	if in.state == draining {
		f.stopIdle(in)
	}
	return in
}

// leave changes the books when an instance leaves its state.
func (f *function) leave(in *instance) {
	switch in.state {
	case ready:
		f.ready--
	case ejected:
		f.ejected--
	case draining:
		f.draining--
	}
}

// drain takes an instance away from picking; it is stopped once its requests are done.
func (f *function) drain(in *instance, why string) {
	f.drainWithin(in, f.drainLimit(), why)
}

func (f *function) drainWithin(in *instance, limit time.Duration, why string) {
	f.leave(in)
	in.state = draining
	f.draining++
	in.marked.Store(true) // before shut: a call that ends after it reports
	in.shut()
	busy, _ := in.use()
	f.record(Event{Kind: Draining, Instance: in.id, Why: fmt.Sprintf("%s (%d in flight)", why, busy)})
	if busy == 0 {
		f.stop(in, "nothing in flight")
		return
	}
	in.limit = time.AfterFunc(limit, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if in.state == draining {
			busy, _ := in.use()
			f.stop(in, fmt.Sprintf("%d still in flight after %v", busy, limit))
		}
	})
}

// stopIdle stops a draining instance when its last request is done.
func (f *function) stopIdle(in *instance) {
	if busy, _ := in.use(); busy == 0 {
		f.stop(in, "its last request is done")
	}
}

// stop lets the instance's goroutine stop it.
func (f *function) stop(in *instance, why string) {
	if in.state == stopping {
		return
	}
	f.leave(in)
	in.state = stopping
	in.shut()
	if in.limit != nil {
		in.limit.Stop()
	}
	close(in.halt)
	f.record(Event{Kind: Stopping, Instance: in.id, Why: why})
}

// revive puts the youngest draining instance back to work, if there is one.
func (f *function) revive() bool {
	if f.draining == 0 {
		return false
	}
	for _, in := range slices.Backward(f.instances) {
		if in.state == draining && !in.broken {
			why := f.demand()
			if in.limit != nil {
				in.limit.Stop()
			}
			f.leave(in)
			in.state = ready
			f.ready++
			in.health = health{}
			in.marked.Store(false)
			in.open()
			f.record(Event{Kind: Revived, Instance: in.id, Why: why})
			return true
		}
	}
	return false
}

// shrink drains n instances: the ejected first, then the idle, then the least busy; the youngest among equals.
func (f *function) shrink(n int, why string) {
	if n <= 0 {
		return
	}
	type candidate struct {
		in   *instance
		busy int
	}
	var list []candidate
	for _, in := range slices.Backward(f.instances) {
		if in.state < draining {
			busy, _ := in.use()
			list = append(list, candidate{in, busy})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(-cmp.Compare(a.in.state, b.in.state), cmp.Compare(a.busy, b.busy))
	})
	for _, c := range list[:min(n, len(list))] {
		f.drain(c.in, why)
	}
}

// ended removes an instance that is gone and says why it is.
func (f *function) ended(in *instance, err error) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	why := "it was stopped"
	byItself := in.state != stopping || in.dead
	if byItself {
		why = "it ended by itself"
		f.leave(in)
		in.state = stopping
		in.shut()
	}
	if in.limit != nil {
		in.limit.Stop()
	}
	f.instances = slices.DeleteFunc(f.instances, func(o *instance) bool { return o == in })
	f.record(Event{Kind: Ended, Instance: in.id, Why: why, Err: err})
	if _, answered := in.use(); answered > 0 {
		f.startsWell()
	} else if !byItself {
		// nothing to learn from that
	} else if f.early++; f.early > 1 { // once may be chance; again and again is a start that fails
		if err == nil {
			err = faas.ErrFunction
		}
		f.backOff(faas.Errorf("router", "start", f.key, faas.Class(err), "instances end before they have answered anything: %w", err))
	}
	f.settle()
	return why
}

func (f *function) grace() time.Duration {
	if g := f.fn.Spec.Grace; g > 0 {
		return g
	}
	return faas.DefaultGrace
}

// drainLimit is how long a draining instance may finish its requests: none of them is
// allowed to run longer than the function's timeout.
func (f *function) drainLimit() time.Duration {
	if f.timeout > 0 {
		return f.timeout + drainSlack
	}
	return f.r.cfg.DrainTimeout
}
