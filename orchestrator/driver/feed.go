package driver

import (
	"context"
	"iter"
	"sync"

	"github.com/joinery/faas"
)

// Feed is the Watch of a driver, for those who write one: it passes the statuses of tasks on to
// any number of watchers, none of which can slow the driver down.
//
//	var f driver.Feed
//	f.Publish(status)                 // under the lock that guards the driver's tasks
//	return f.Watch(ctx, d.snapshot)   // from the driver's Watch
//	f.Close()                         // last of all
//
// A watcher that is slow misses states between two others of a task, never its last. The
// zero value is ready to use. Safe for concurrent use.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
	closed   bool
}

// watcher holds what its reader has not seen yet.
type watcher struct {
	pending []Status
	last    map[string]int // position in pending of a task's newest status
	wake    chan struct{}
}

// Publish passes the status on to every watcher. Statuses of one task must be
// published in their order. It never blocks.
func (f *Feed) Publish(s Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		w.add(s)
	}
}

// Watch yields what snapshot publishes, then everything that is published. Snapshot
// is called once, with the function to publish to; while it runs the caller's tasks must
// not change, so that nothing is missed or seen twice in the wrong order. The
// sequence ends as Driver's Watch does.
func (f *Feed) Watch(ctx context.Context, snapshot func(register func(...Status))) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		w := &watcher{last: map[string]int{}, wake: make(chan struct{}, 1)}
		snapshot(func(all ...Status) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, s := range all {
				w.add(s)
			}
			if f.watchers == nil {
				f.watchers = map[*watcher]struct{}{}
			}
			f.watchers[w] = struct{}{}
		})
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.watchers, w)
		}()
		for {
			batch, closed := f.take(w)
			for _, s := range batch {
				if ctx.Err() != nil {
					break
				}
				if !yield(s, nil) {
					return
				}
			}
			switch {
			case ctx.Err() != nil:
				yield(Status{}, faas.ContextError(ctx, "driver", "watch", ""))
				return
			case closed:
				yield(Status{}, faas.Errorf("driver", "watch", "", faas.ErrClosed, "the driver was closed"))
				return
			}
			select {
			case <-w.wake:
			case <-ctx.Done():
			}
		}
	}
}

// Close ends every Watch once it has yielded what was published. Twice is allowed.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for w := range f.watchers {
		w.signal()
	}
}

func (f *Feed) take(w *watcher) (batch []Status, closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	batch, w.pending = w.pending, nil
	clear(w.last)
	return batch, f.closed
}

// add replaces a status that was not read yet, unless it was the task's last: what
// comes then is about another task of the same id.
func (w *watcher) add(s Status) {
	if i, ok := w.last[s.ID]; ok && w.pending[i].State != StateGone {
		w.pending[i] = s
	} else {
		w.last[s.ID] = len(w.pending)
		w.pending = append(w.pending, s)
	}
	w.signal()
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
