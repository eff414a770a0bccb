package memrouter

import (
	"context"
	"time"

	"github.com/joinery/faas"
)

// A waiter is one request in a function's queue. It is guarded by the function's lock
// until ready tells its caller that it left the queue, by a slot or an error.
type waiter struct {
	ready      chan struct{} // of capacity 1
	prev, next *waiter
	queued     bool
	size       int64     // bytes of its body in hand
	avoid      *instance // it was just tried there in vain

	s    *share
	cold *faas.Timing // the start whose instance it got first
	err  error
}

// queue is first in, first out, bounded by its owner, with removal from anywhere in O(1).
type queue struct {
	head, tail *waiter
	n          int
	bytes      int64
}

func (q *queue) push(w *waiter, front bool) {
	switch {
	case q.head == nil:
		q.head, q.tail = w, w
	case front:
		w.next, q.head.prev = q.head, w
		q.head = w
	default:
		w.prev, q.tail.next = q.tail, w
		q.tail = w
	}
	w.queued = true
	q.n++
	q.bytes += w.size
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.n--
	q.bytes -= w.size
}

// enqueue, dequeue: the queue and its published length change together.
func (f *function) enqueue(w *waiter, front bool) {
	f.queue.push(w, front)
	f.waiting.Store(int64(f.queue.n))
}

func (f *function) dequeue(w *waiter) {
	f.queue.remove(w)
	f.waiting.Store(int64(f.queue.n))
}

// park puts the request into the queue and waits until it is bound to a slot. avoid is the instance
// that it comes back from, or nil where it is seen for the first time. cold is the start that it waited for.
func (f *function) park(ctx context.Context, req *faas.Request, avoid *instance) (s *share, cold *faas.Timing, err error) {
	w := f.r.waiters.Get().(*waiter)
	if body, ok := req.Body.InHand(); ok {
		w.size = int64(len(body))
	}
	w.avoid = avoid
	f.mu.Lock()
	if err := f.refuse(ctx, w.size, avoid != nil); err != nil {
		if avoid != nil {
			f.completed++ // it was let in before
		}
		f.mu.Unlock()
		w.avoid, w.size = nil, 0
		f.r.waiters.Put(w)
		return nil, nil, err
	}
	if avoid == nil {
		f.arrived++
	}
	f.enqueue(w, avoid != nil) // and only then look again for a slot: who frees one looks for waiters after it
	f.settle()
	f.mu.Unlock()

	select {
	case <-w.ready:
		s, cold, err = w.s, w.cold, w.err
	case <-ctx.Done():
		f.abandon(w)
		err = faas.ContextError(ctx, "router", "queue", f.key)
	}
	w.s, w.cold, w.err, w.avoid, w.size = nil, nil, nil, nil, 0
	f.r.waiters.Put(w)
	return s, cold, err
}

// refuse says why a request cannot be queued, or nil. A request that was let in before is not refused for want of room.
func (f *function) refuse(ctx context.Context, size int64, again bool) error {
	switch {
	case ctx.Err() != nil:
		return faas.ContextError(ctx, "router", "queue", f.key)
	case f.gone:
		return errGone
	case f.deleted:
		return f.notFound()
	case f.closing && (!again || f.total() == 0), f.cut:
		return errClosed("invoke", f.key)
	}
	if wait := time.Until(f.retryAt); f.cause != nil && wait > 0 && f.ready+f.ejected+f.draining == 0 && len(f.starting) == 0 {
		return f.startError(f.cause, wait)
	}
	full := func(format string, args ...any) error {
		err := faas.Errorf("router", "queue", f.key, faas.ErrExhausted, format, args...)
		err.Next = "retry later, or raise the queue's bounds, the function's concurrency or its scale"
		err.RetryAfter = fullRetryAfter
		return err
	}
	if limit := f.r.cfg.QueueDepth; !again && f.queue.n >= limit {
		return full("the queue is full: %d requests wait", f.queue.n)
	}
	if limit := f.r.cfg.QueueBytes; !again && f.queue.n > 0 && f.queue.bytes+size > limit {
		return full("the queue is full: bodies of %d bytes wait, %d more are over the bound of %d", f.queue.bytes, size, limit)
	}
	return nil
}

// abandon takes a waiter whose caller is gone out of the queue.
func (f *function) abandon(w *waiter) {
	f.mu.Lock()
	if w.queued {
		f.dequeue(w)
		f.completed++
		f.trim("nobody waits for it any more")
		f.settle()
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	<-w.ready // it was served in the same moment
	if w.s != nil {
		w.s.release(ending{completed: 1})
	}
}

// dispatch hands free slots to the longest waiting.
func (f *function) dispatch() {
	set := f.shards.Load()
	for set != nil && f.queue.head != nil {
		w := f.queue.head
		avoid := w.avoid
		if f.ready < 2 {
			avoid = nil // there is no other
		}
		s := f.takeProbe(avoid, 0)
		if s == nil {
			s = takeAny(*set, avoid, 0)
		}
		if s == nil {
			return
		}
		f.dequeue(w)
		w.s, w.cold = s, s.in.cold
		w.ready <- struct{}{}
	}
}

// fail tells everybody in the queue the same error.
func (f *function) fail(err error) {
	for w := f.queue.head; w != nil; w = f.queue.head {
		f.dequeue(w)
		f.completed++
		w.err = err
		w.ready <- struct{}{}
	}
}
