package engine

import (
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// parked is why the Program of an execution does not go on.
type parked struct {
	err   error
	tries int
}

// park stops folding: events are still recorded, since they are facts, but nothing follows from them. What may
// pass by itself is tried again; a definition that does not fit its history only after a redrive or in the next process.
func (x *run) park(err error) {
	x.parked = &parked{err: err}
	x.e.log.Error("execution is parked", "execution", x.ref.String(), "error", err)
	x.tryLater()
}

const (
	reloadDelay    = time.Second
	maxReloadDelay = time.Minute
)

func (x *run) tryLater() {
	err := x.parked.err
	if x.sealed || !errors.Is(err, faas.ErrUnavailable) && !errors.Is(err, faas.ErrTimeout) && !errors.Is(err, faas.ErrExhausted) {
		return
	}
	delay := min(reloadDelay<<min(x.parked.tries, 10), maxReloadDelay)
	x.parked.tries++
	x.e.timers.unset(&x.reloading)
	x.reloading.due, x.reloading.run, x.reloading.kind = x.e.now().Add(delay), x, factReload
	x.e.timers.set(&x.reloading)
}

// tryAgain folds the log of a parked execution once more.
func (x *run) tryAgain() {
	if x.parked == nil {
		return
	}
	if err := x.reload(); err != nil {
		x.parked.err = err
		x.tryLater()
	}
}

// Delays between attempts to append a batch for which there was no space.
const (
	spaceDelay    = 100 * time.Millisecond
	maxSpaceDelay = 5 * time.Second
)

// appendFailed decides what becomes of a turn whose batch was not stored. stuck is true when the
// batch is kept and tried again: until then the execution takes no turns.
func (x *run) appendFailed(err error) (stuck bool) {
	if x.durable == 0 {
		x.born = err
		if errors.Is(err, faas.ErrExhausted) {
			x.e.noSpace.Store(true)
		}
		if errors.Is(err, faas.ErrUnavailable) {
			x.e.poison(err)
		}
		return true
	}
	for _, r := range x.replies {
		r.to <- err
	}
	clear(x.replies)
	x.replies = x.replies[:0]
	if errors.Is(err, faas.ErrConflict) || errors.Is(err, faas.ErrInvalidArgument) || errors.Is(err, faas.ErrNotFound) {
		x.seal(err)
		return false
	}
	x.stuck++
	x.refuseAsked(func() error { return err })
	if !errors.Is(err, faas.ErrExhausted) {
		x.e.poison(err)
		return true
	}
	x.e.noSpace.Store(true)
	delay := min(spaceDelay<<min(x.stuck-1, 10), maxSpaceDelay)
	time.AfterFunc(delay, func() { x.e.spawn(x.retry) })
	return true
}

// seal gives up an execution whose log is not what this process thinks it is: nothing is appended any more.
func (x *run) seal(err error) {
	x.e.log.Error("an execution's log was changed by somebody else", "execution", x.ref.String(), "error", err)
	x.parked, x.sealed = &parked{err: err}, true
	clear(x.events)
	x.events, x.batch = x.events[:0], workflow.Batch{}
	x.l.status = workflow.StatusRunning
	x.l.fx.reset()
	for s := x.l.first; s != nil; s = s.next {
		x.dropAttempt(s)
	}
}

// refuseAsked answers those who wait for facts that cannot be recorded now.
func (x *run) refuseAsked(why func() error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	kept := x.inbox[:0]
	for _, f := range x.inbox {
		if f.reply == nil {
			kept = append(kept, f)
		} else {
			f.reply <- why()
		}
	}
	clear(x.inbox[len(kept):])
	x.inbox = kept
}

// retry appends the pending batch once more and, when it is stored, goes on.
func (x *run) retry() {
	x.turn.Lock()
	if x.over {
		x.turn.Unlock()
		return
	}
	mine, stuck := x.conclude()
	if !stuck {
		x.stuck = 0
	}
	x.turn.Unlock()
	if stuck {
		return
	}
	if mine != nil {
		x.e.sched.start(mine)
	}
	if mine = x.drain(); mine != nil {
		x.e.sched.start(mine)
	}
}
