package durable

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Context is what workflow code sees of its execution, and the scope within which what it opens can be
// cancelled together. It is a small value; it must not be used outside of the execution it was given for.
type Context struct {
	x     *execution
	scope *scope
}

// Now is the time of the event that woke the code: it does not pass while code runs.
func (c Context) Now() time.Time {
	c.x.enter()
	return c.x.now
}

// Execution names the execution.
func (c Context) Execution() workflow.ExecutionRef {
	c.x.enter()
	return c.x.start.Execution
}

// Attributes are the search attributes that the execution was started with; not to be changed.
func (c Context) Attributes() map[string]string {
	c.x.enter()
	return c.x.start.Attributes
}

// Events is the number of events in the log so far. Code that runs for ever returns ContinueAsNew when
// it gets large (some ten thousand), since recovery folds the whole log.
func (c Context) Events() uint64 {
	c.x.enter()
	return c.x.seq - c.x.first + 1
}

// Random is a source of random numbers that is the execution's own: the same in every replay, and in a
// fork the same as in the original.
func (c Context) Random() *rand.Rand {
	x := c.x
	x.enter()
	if x.random == nil {
		x.random = rand.New(rand.NewPCG(x.start.Seed, x.first))
	}
	return x.random
}

// UUID returns a random UUID (version 4, RFC 9562) from Random.
func (c Context) UUID() string {
	id, err := uuid.NewRandomFromReader(randomReader{c.Random()})
	if err != nil {
		panic(err) // the reader never fails
	}
	return id.String()
}

type randomReader struct{ r *rand.Rand }

func (r randomReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.r.Uint32())
	}
	return len(b), nil
}

// Sleep waits for d. The error is that of a cancelled Context.
func (c Context) Sleep(d time.Duration) error {
	_, err := c.Timer(d).Get()
	return err
}

// Timer returns a future that is ready after d; at once if d is not positive.
func (c Context) Timer(d time.Duration) Future[struct{}] {
	c.x.enter()
	if d <= 0 && c.scope.err == nil {
		return Future[struct{}]{&future{x: c.x, settled: true}}
	}
	f := &future{x: c.x, kind: workflow.CommandTimer, node: "timer"}
	c.open(f, timerBase, workflow.Command{Due: c.x.now.Add(d)})
	return Future[struct{}]{f}
}

// Annotate sets the note and the search attributes that lists show. An empty note leaves the last
// one; an attribute with an empty value is removed.
func (c Context) Annotate(note string, attributes map[string]string) {
	c.x.enter()
	c.x.annotate(note, attributes)
}

// Signal sends a signal to another execution, at least once. ErrInvalidArgument if JSON cannot say the value.
func (c Context) Signal(to workflow.ExecutionRef, name string, value any) error {
	c.x.enter()
	p, err := encode(value)
	if err != nil {
		return err
	}
	c.x.command(workflow.Command{Kind: workflow.CommandSignal, Execution: to, Name: name, Payload: p})
	return nil
}

// Patched reports whether this execution runs the changed code that the name stands for: true if
// the change was there when the execution came here first. The answer is recorded, and the same from then on:
//
//	if ctx.Patched("pay-before-shipping") {
//		// the new code
//	} else {
//		// the old code, until its executions have ended
//	}
//
// An execution counts as older when its log has the outcome of a step that the old code opened after this
// place. So the old code must open a step there; what it had opened when the engine stopped, without an
// outcome in the log, is given up. The name follows the rule of faas.ValidateName.
func (c Context) Patched(name string) bool {
	x := c.x
	x.enter()
	if err := faas.ValidateName("patch", name); err != nil {
		panic(err)
	}
	if patched, ok := x.patches[name]; ok {
		return patched
	}
	if x.patches == nil {
		x.patches = map[string]bool{}
	}
	for _, m := range x.pending {
		if m.id == name { // another coroutine came first
			x.wait(m.f)
			return x.patches[name]
		}
	}
	f := &future{x: x, kind: workflow.CommandRecord, node: "patch:" + name}
	m := &marker{x: x, id: name, f: f, at: x.now}
	f.then = func() { m.decide(true) }
	x.pending = append(x.pending, m)
	// Not in the scope: a marker is decided even when its Context is cancelled.
	Context{x, x.detached()}.open(f, f.node, workflow.Command{Payload: workflow.JSON("true")})
	x.wait(f)
	return x.patches[name]
}

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
