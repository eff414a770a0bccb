package memrouter

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadline is a context that ends at a time of its own, with its parent, or by close. It does what
// context.WithDeadline does, for calls that are short: its timer is made when somebody first
// asks for Done, which a warm in-process call need not do.
type deadline struct {
	context.Context // the parent
	at              time.Time
	closed          atomic.Bool
	mu              sync.Mutex // makes one timed
	timed           atomic.Pointer[timed]
}

// timed is the real context behind a deadline.
type timed struct {
	context.Context
	cancel context.CancelFunc
}

// Deadline implements context.Context, as the methods below do.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

func (d *deadline) Done() <-chan struct{} { return d.real().Done() }

func (d *deadline) Err() error {
	if d.timed.Load() == nil && !d.closed.Load() {
		if err := d.Context.Err(); err != nil || time.Now().Before(d.at) {
			return err
		}
	}
	return d.real().Err()
}

// Value goes through the real context, once there is one: there package context finds its own,
// so that a context derived from this one costs no goroutine.
func (d *deadline) Value(key any) any {
	if t := d.timed.Load(); t != nil {
		return t.Value(key)
	}
	return d.Context.Value(key)
}

func (d *deadline) real() *timed {
	if t := d.timed.Load(); t != nil {
		return t
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.timed.Load()
	if t == nil {
		ctx, cancel := context.WithDeadline(d.Context, d.at)
		t = &timed{ctx, cancel}
		d.timed.Store(t)
		if d.closed.Load() { // close looked for it before
			cancel()
		}
	}
	return t
}

// close ends the context and frees its timer. Closing nil does nothing.
func (d *deadline) close() {
	if d == nil {
		return
	}
	d.closed.Store(true)
	if t := d.timed.Load(); t != nil {
		t.cancel()
	}
}
