package engine

import (
	"errors"
	"time"

	"github.com/joinery/faas"
)

// parked is why the Program of an execution does not go on.
type parked struct {
	err error
	// retry is when it is tried again by itself; zero: not before a redrive or a restart.
	retry time.Time
}

// park stops folding: events are still recorded, since they are facts, but nothing follows from them.
func (x *run) park(err error) {
	x.parked = &parked{err: err}
	x.e.log.Error("execution is parked", "execution", x.ref.String(), "error", err)
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
	x.stuck++
	if !errors.Is(err, faas.ErrExhausted) {
		x.e.poison(err)
		return true
	}
	x.e.noSpace.Store(true)
	delay := min(spaceDelay<<min(x.stuck-1, 10), maxSpaceDelay)
	time.AfterFunc(delay, func() { x.e.spawn(x.retry) })
	return true
}

// retry appends the pending batch once more and, when it is stored, goes on.
func (x *run) retry() {
	x.turn.Lock()
	mine, stuck := x.conclude()
	if !stuck {
		x.stuck = 0
		x.e.noSpace.Store(false)
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
