package httpfront

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// callContext is the context of one request: that of its connection with a
// deadline. It is what context.WithDeadline makes, at less than half of the price:
// all requests share one timer (see clock), and the connection's context is
// watched from the first Done or AfterFunc on. It has the AfterFunc method of which
// the context package makes use, so contexts derived from it need no goroutine.
type callContext struct {
	context.Context // the connection's
	deadline        time.Time
	clock           *clock      // nil without a deadline, or with a timer
	timer           *time.Timer // for a deadline out of the clock's order

	mu         sync.Mutex
	err        error
	done       chan struct{}
	stopParent func() bool
	first      after // the list of what runs at the end; the first needs no allocation
	list       *after
	reading    http.ResponseWriter // whose body is being read

	prev, next *callContext // in the clock's list
}

// after is one function to run when the context ends.
type after struct {
	c    *callContext
	f    func()
	next *after
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) {
	if c.deadline.IsZero() {
		return c.Context.Deadline()
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	c.listen()
	return c.done
}

// Err implements context.Context.
func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.stopParent == nil {
		if err := c.Context.Err(); err != nil {
			c.end(err)
		}
	}
	return c.err
}

// AfterFunc runs f in a goroutine of its own when the context ends, as
// context.AfterFunc does, which calls it.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listen()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	a := &c.first
	if a.c != nil {
		a = new(after)
	}
	*a = after{c: c, f: f, next: c.list}
	c.list = a
	return a.stop
}

// stop takes the function off the list; false: it runs, ran or was taken off.
func (a *after) stop() bool {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	for p := &a.c.list; *p != nil; p = &(*p).next {
		if *p == a {
			*p = a.next
			return true
		}
	}
	return false
}

// listen makes the end of the connection's context the end of this one. Called with mu held.
func (c *callContext) listen() {
	if c.err == nil && c.stopParent == nil {
		c.stopParent = context.AfterFunc(c.Context, func() { c.cancel(c.Context.Err()) })
	}
}

// cancel ends the context.
func (c *callContext) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

// end is cancel with mu held.
func (c *callContext) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for a := c.list; a != nil; a = a.next {
		go a.f()
	}
	c.list = nil
}

// expire ends the context at its deadline, and a read of the body that still waits.
func (c *callContext) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading != nil {
		_ = http.NewResponseController(c.reading).SetReadDeadline(longAgo)
	}
	c.end(context.DeadlineExceeded)
}

var longAgo = time.Unix(1, 0)

// read tells that the body of w's request is being read; nil: not any more.
func (c *callContext) read(w http.ResponseWriter) {
	c.mu.Lock()
	c.reading = w
	c.mu.Unlock()
}

// finish frees what the context holds and cancels what was derived from it.
func (c *callContext) finish() {
	switch {
	case c.clock != nil:
		c.clock.remove(c)
	case c.timer != nil:
		c.timer.Stop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = nil
	if c.stopParent != nil {
		c.stopParent()
	}
	c.end(context.Canceled)
}

// clock ends contexts at their deadlines. They all have the same timeout, so a
// list in the order of arrival is in the order of the deadlines, and one timer, set
// anew at most once per timeout, does for all.
type clock struct {
	mu         sync.Mutex
	head, tail *callContext
	timer      *time.Timer
	armed      bool
}

func (k *clock) add(c *callContext) {
	c.clock = k
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.prev = k.tail; c.prev != nil {
		c.prev.next = c
	} else {
		k.head = c
	}
	k.tail = c
	if !k.armed {
		k.arm(c)
	}
}

func (k *clock) remove(c *callContext) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.prev == nil && k.head != c {
		return // it expired
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		k.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		k.tail = c.prev
	}
	c.prev, c.next = nil, nil
}

// arm sets the timer for c. Called with mu held.
func (k *clock) arm(c *callContext) {
	k.armed = true
	d := time.Until(c.deadline)
	if k.timer == nil {
		k.timer = time.AfterFunc(d, k.ring)
	} else {
		k.timer.Reset(d)
	}
}

// ring ends what is due and sets the timer for the next.
func (k *clock) ring() {
	k.mu.Lock()
	now := time.Now()
	var due []*callContext
	for k.head != nil && !k.head.deadline.After(now) {
		c := k.head
		if k.head = c.next; k.head != nil {
			k.head.prev = nil
		} else {
			k.tail = nil
		}
		c.prev, c.next = nil, nil
		due = append(due, c)
	}
	if k.armed = k.head != nil; k.armed {
		k.arm(k.head)
	}
	k.mu.Unlock()
	for _, c := range due {
		c.expire()
	}
}
