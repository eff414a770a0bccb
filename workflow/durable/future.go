package durable

import (
	"fmt"
	"slices"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Kinds of futures that are no steps.
const (
	kindCoroutine workflow.CommandKind = 0
	kindDone      workflow.CommandKind = 255
)

// future is what a Future holds whatever its type.
type future struct {
	x          *execution
	scope      *scope
	prev, next *future // in scope's open ones
	kind       workflow.CommandKind
	// id and node of the step; empty if it is none. target and name are what it opened.
	id, node, name string
	target         faas.Ref

	settled bool
	payload workflow.Payload
	value   any // of a coroutine
	err     error
	// waiter and more wait for it, in this order; there is seldom more than one.
	waiter *coroutine
	more   []*coroutine
	then   func()
}

// Future is a result that may not be there yet: of a step or of a coroutine. The zero Future is
// not usable.
type Future[T any] struct{ f *future }

// Awaitable is a Future of any type, for Select.
type Awaitable interface{ future() *future }

func (f Future[T]) future() *future { return f.f }

// Get waits for the result. The error of a step that failed wraps its *workflow.Failure, so that
// errors.As finds it, and has a class: ErrTimeout, ErrCanceled, ErrNotFound, ErrDenied
// (FailureRejected), ErrUnavailable (FailurePlatform), ErrExhausted (FailureLimit), ErrInternal (FailureProgram),
// ErrFunction for every other. A result that is no T is ErrInvalidArgument. Get may be called again.
func (f Future[T]) Get() (T, error) {
	var none T
	u := f.f
	u.executionOf().enter()
	u.x.wait(u)
	if u.err != nil {
		return none, u.err
	}
	if u.kind == kindCoroutine {
		v, _ := u.value.(T)
		return v, nil
	}
	return decode[T](u.x, u.payload, u.id)
}

// Err waits for the result and returns its error alone.
func (f Future[T]) Err() error {
	f.f.executionOf().enter()
	f.f.x.wait(f.f)
	return f.f.err
}

// Ready reports whether Get returns without waiting.
func (f Future[T]) Ready() bool {
	f.f.executionOf().enter()
	return f.f.settled
}

// Close gives up a step that is still open: its call is cancelled, its signal not consumed, its timer
// does not fire, and Get returns ErrCanceled. It does nothing to a coroutine (cancel its Context) and to
// what has ended.
func (f Future[T]) Close() {
	u := f.f
	u.executionOf().enter()
	if u.settled || u.id == "" {
		return
	}
	u.x.close(u, failed(u.what(), u.id, &workflow.Failure{Name: workflow.FailureCanceled, Cause: "the workflow closed the step"}))
}

// Token returns the token with which somebody outside may end the step: a call with StepOptions.Callback,
// or an activity (see workflow.Workers). It ends whichever attempt is under way. Empty for what is no step.
func (f Future[T]) Token() string {
	u := f.f
	u.executionOf().enter()
	if u.id == "" {
		return ""
	}
	return workflow.Token{Execution: u.x.start.Execution, Step: u.id}.Sign(u.x.start.Secret)
}

// Select waits until at least one of the futures is ready and returns the index of the first of those
// that are. The others go on: Close those that are no longer wanted, a signal above all, since
// an open wait consumes the next signal. Without futures it returns -1.
func Select(futures ...Awaitable) int {
	if len(futures) == 0 {
		return -1
	}
	x := futures[0].future().executionOf()
	x.enter()
	waits := make([]*future, len(futures))
	for i, a := range futures {
		waits[i] = a.future()
	}
	for {
		for i, f := range waits {
			if f.settled {
				return i
			}
		}
		co := x.current
		for _, f := range waits {
			f.expect(co)
		}
		x.park(waits, "")
		for _, f := range waits {
			f.ignore(co)
		}
	}
}

// expect makes co wait for the future, ignore takes that back.
func (f *future) expect(co *coroutine) {
	if f.waiter == nil {
		f.waiter = co
	} else {
		f.more = append(f.more, co)
	}
}

func (f *future) ignore(co *coroutine) {
	f.more = slices.DeleteFunc(f.more, func(w *coroutine) bool { return w == co })
	if f.waiter != co {
		return
	}
	if f.waiter = nil; len(f.more) > 0 {
		f.waiter, f.more = f.more[0], f.more[1:]
	}
}

func (f *future) executionOf() *execution {
	if f == nil {
		return nil
	}
	return f.x
}

// what says what a step does: "call default/charge".
func (f *future) what() string {
	switch f.kind {
	case workflow.CommandCall:
		return "call " + f.target.String()
	case workflow.CommandChild:
		return "child " + f.target.String()
	case workflow.CommandActivity:
		return "activity " + f.name
	case workflow.CommandWait:
		return "signal " + f.name
	case workflow.CommandTimer:
		return "timer"
	}
	return "record"
}

// describe is for messages: `"charge#2" (call default/charge)`.
func (f *future) describe() string {
	if f == nil {
		return "none"
	}
	return fmt.Sprintf("%q (%s)", f.id, f.what())
}

// targets reports whether an event that names what its step targeted may be this step's.
func (f *future) targets(name string) bool {
	switch f.kind {
	case workflow.CommandCall, workflow.CommandChild:
		return name == f.target.String()
	case workflow.CommandActivity, workflow.CommandWait:
		return name == f.name
	}
	return true
}

// describe says what an event says about its step.
func describe(node, name string) string {
	switch {
	case name == "" || name == node:
		return "node " + node
	case node == "":
		return "of " + name
	}
	return "node " + node + " of " + name
}

// waitsFor is for messages.
func (co *coroutine) waitsFor() string {
	var names []string
	for i, f := range co.on {
		if i == 5 {
			names = append(names, fmt.Sprintf("%d more", len(co.on)-i))
			break
		}
		switch f.kind {
		case kindDone:
			names = append(names, "cancellation")
		case kindCoroutine:
			names = append(names, "a coroutine")
		default:
			names = append(names, f.describe())
		}
	}
	if co.what != "" {
		names = append(names, co.what)
	}
	if len(names) == 0 {
		return "its turn"
	}
	return strings.Join(names, " or ")
}
