package durable

import (
	"time"

	"github.com/joinery/faas/workflow"
)

// scope is what a Context cancels.
type scope struct {
	x      *execution
	parent *scope
	// Children and open steps, each in the order they were made.
	firstChild, lastChild *scope
	prev, next            *scope
	firstOpen, lastOpen   *future
	// err is why it was cancelled.
	err  *workflow.Failure
	done *future
}

func (s *scope) child() *scope {
	c := &scope{x: s.x, parent: s, err: s.err}
	if s.err != nil {
		return c
	}
	if c.prev = s.lastChild; c.prev != nil {
		c.prev.next = c
	} else {
		s.firstChild = c
	}
	s.lastChild = c
	return c
}

// detached returns a scope that nothing cancels but itself.
func (x *execution) detached() *scope { return &scope{x: x} }

// leave takes the scope off its parent's list.
func (s *scope) leave() {
	p := s.parent
	if p == nil || s.prev == nil && p.firstChild != s {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		p.firstChild = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		p.lastChild = s.prev
	}
	s.prev, s.next = nil, nil
}

func (s *scope) add(f *future) {
	f.scope = s
	if f.prev = s.lastOpen; f.prev != nil {
		f.prev.next = f
	} else {
		s.firstOpen = f
	}
	s.lastOpen = f
}

// remove takes an open step off the list; f may be in none.
func (s *scope) remove(f *future) {
	if s == nil {
		return
	}
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		s.firstOpen = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		s.lastOpen = f.prev
	}
	f.prev, f.next, f.scope = nil, nil, nil
}

// cancel closes every open step of the scope and of those below it, in the order of their opening.
func (s *scope) cancel(why *workflow.Failure) {
	if s.err != nil {
		return
	}
	s.err = why
	s.leave()
	for f := s.firstOpen; f != nil; f = s.firstOpen {
		s.x.close(f, failed(f.what(), f.id, why))
	}
	for c := s.firstChild; c != nil; c = s.firstChild {
		c.cancel(why)
	}
	if s.done != nil {
		s.x.settle(s.done, workflow.Payload{}, nil, nil)
	}
}

// Err is nil until the Context is cancelled; then ErrCanceled, or ErrTimeout after WithTimeout's time.
func (c Context) Err() error {
	c.x.enter()
	if c.scope.err == nil {
		return nil
	}
	return failed("context", "", c.scope.err)
}

// Done returns a future that is ready when the Context is cancelled.
func (c Context) Done() Future[struct{}] {
	c.x.enter()
	if c.scope.done == nil {
		c.scope.done = &future{x: c.x, kind: kindDone, settled: c.scope.err != nil}
	}
	return Future[struct{}]{c.scope.done}
}

// WithCancel returns a Context that cancel, or the end of c, cancels: its open steps are closed and fail
// with ErrCanceled, and it opens no more. Call cancel when the Context is no longer needed.
func (c Context) WithCancel() (ctx Context, cancel func()) {
	c.x.enter()
	s := c.scope.child()
	return Context{c.x, s}, func() {
		c.x.enter()
		s.cancel(&workflow.Failure{Name: workflow.FailureCanceled, Cause: "the workflow cancelled it"})
	}
}

// WithTimeout is WithCancel, and cancels after d by itself; what it closes fails with ErrTimeout then.
func (c Context) WithTimeout(d time.Duration) (ctx Context, cancel func()) {
	sub, end := c.WithCancel()
	timer := c.Timer(d)
	expire := func() {
		if timer.f.err == nil {
			sub.scope.cancel(&workflow.Failure{Name: workflow.FailureTimeout, Cause: "not done within " + d.String()})
		}
	}
	if timer.f.settled {
		expire()
		return sub, end
	}
	timer.f.then = expire
	return sub, func() {
		timer.Close()
		end()
	}
}

// Disconnected returns a Context that the cancellation of c does not reach, for cleaning up.
func (c Context) Disconnected() Context {
	c.x.enter()
	return Context{c.x, c.x.detached()}
}
