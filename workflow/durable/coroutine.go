package durable

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Coroutines are goroutines that hand a baton around: one of them runs at a time, and it hands
// over only where it waits in a call of this package. So code between two such calls is
// atomic, the order is that of the log, and nothing is locked. A real goroutine, unlike
// iter.Pull, can be left behind when it does not come back, and it may call runtime.Goexit.

type coroutine struct {
	x      *execution
	number int
	body   func()
	resume chan struct{}
	// started: it has a goroutine. queued: it is in x.ready.
	started, queued bool
	// on are the futures it waits for, what anything else; both are for people.
	on         []*future
	one        [1]*future // on, when it is one
	what       string
	prev, next *coroutine
}

// watch bounds one turn: from when the first coroutine is resumed until all of them wait.
type watch struct {
	state atomic.Int32
	timer *time.Timer
}

const (
	watchRunning = iota
	watchFinished
	watchOverrun
)

// finish ends the turn; false if it took too long and Step has gone on without it.
func (w *watch) finish() bool { return w.state.CompareAndSwap(watchRunning, watchFinished) }

func (w *watch) overrun() bool { return w.state.Load() == watchOverrun }

// begin starts a turn's time.
func (x *execution) begin() *watch {
	if x.watch != nil {
		x.watch.state.Store(watchRunning)
		x.watch.timer.Reset(x.program.budget)
		return x.watch
	}
	w, idle := &watch{}, x.idle
	w.timer = time.AfterFunc(x.program.budget, func() {
		if w.state.CompareAndSwap(watchRunning, watchOverrun) {
			idle <- struct{}{}
		}
	})
	x.watch = w
	return w
}

// await waits for the end of the turn. After false x belongs to the coroutine that did not come back.
func (x *execution) await(w *watch) bool {
	<-x.idle
	if w.overrun() {
		return false
	}
	if !w.timer.Stop() {
		x.watch = nil // its function may still run, and must not meet the next turn
	}
	return true
}

// run lets coroutines run until all of them wait. After false, see await.
func (x *execution) run() bool {
	next := x.pop()
	if next == nil {
		return true
	}
	w := x.begin()
	x.hand(next)
	return x.await(w)
}

// spawn adds a coroutine that runs body.
func (x *execution) spawn(body func()) { x.add(new(coroutine), body) }

func (x *execution) add(co *coroutine, body func()) {
	x.spawned++
	co.x, co.number, co.body = x, x.spawned, body
	if co.prev = x.lastLive; co.prev != nil {
		co.prev.next = co
	} else {
		x.firstLive = co
	}
	x.lastLive = co
	x.wake(co)
}

// forget takes a coroutine off the list of live ones.
func (x *execution) forget(co *coroutine) {
	if co.prev != nil {
		co.prev.next = co.next
	} else {
		x.firstLive = co.next
	}
	if co.next != nil {
		co.next.prev = co.prev
	} else {
		x.lastLive = co.prev
	}
	co.prev, co.next = nil, nil
}

// wake queues a coroutine; once is enough.
func (x *execution) wake(co *coroutine) {
	if !co.queued {
		co.queued = true
		x.ready = append(x.ready, co)
	}
}

func (x *execution) pop() *coroutine {
	if x.head == len(x.ready) {
		x.ready, x.head = x.ready[:0], 0
		return nil
	}
	co := x.ready[x.head]
	x.ready[x.head] = nil
	x.head++
	co.queued = false
	return co
}

// hand gives the baton to a coroutine.
func (x *execution) hand(co *coroutine) {
	x.current = co
	if co.started {
		co.resume <- struct{}{}
		return
	}
	co.started = true
	co.resume = make(chan struct{}, 1)
	go co.run()
}

// pass gives the baton to the next coroutine, or back to Step. False if Step is gone.
func (x *execution) pass() bool {
	if !x.ended && x.aborted == nil && !x.watch.overrun() {
		if next := x.pop(); next != nil {
			x.hand(next)
			return true
		}
	}
	x.current = nil
	if !x.watch.finish() {
		return false
	}
	x.idle <- struct{}{}
	return true
}

// park waits until the coroutine is woken; on and what say for what.
func (x *execution) park(on []*future, what string) {
	co := x.current
	co.on, co.what = on, what
	if !x.ended && x.aborted == nil && x.head < len(x.ready) && x.ready[x.head] == co {
		x.pop()
	} else {
		if !x.pass() {
			runtime.Goexit()
		}
		<-co.resume
		if x.released {
			runtime.Goexit()
		}
	}
	co.on, co.what = nil, ""
}

// enter is called first by all that workflow code calls.
func (x *execution) enter() {
	if x == nil {
		panic("durable: a zero Context, Future, Group or Mutex was used")
	}
	if x.released && !x.querying {
		runtime.Goexit()
	}
	if x.current == nil {
		panic("durable: workflow code was used outside of its workflow: in a query handler, or in a goroutine that the go statement started")
	}
	if x.watch.overrun() {
		runtime.Goexit()
	}
}

// run is the coroutine's goroutine.
func (co *coroutine) run() {
	x, returned := co.x, false
	defer func() {
		switch {
		case returned:
		case x.released:
			_ = recover() // of a deferred function; nobody is left to be told
		default:
			if reason := recover(); reason != nil {
				x.broken(reason, stack())
			} else if x.aborted == nil && !x.watch.overrun() {
				x.broken("the workflow called runtime.Goexit", "")
			}
		}
		if !x.released {
			x.forget(co)
			if !x.pass() {
				x.release()
			}
		} else if x.watch.finish() {
			x.idle <- struct{}{}
		} else {
			x.release()
		}
	}()
	co.body()
	returned = true
}

// release ends every coroutine: each leaves by runtime.Goexit, running its deferred functions. One
// that does not leave in time goes on with the release itself, if it ever comes back.
func (x *execution) release() {
	x.released, x.current = true, nil
	if x.watch != nil && x.watch.overrun() {
		x.watch = nil
	}
	for co := x.firstLive; co != nil; co = x.firstLive {
		x.forget(co)
		if !co.started {
			continue
		}
		w := x.begin()
		co.resume <- struct{}{}
		if !x.await(w) {
			return
		}
	}
	x.back.Store(true)
}
