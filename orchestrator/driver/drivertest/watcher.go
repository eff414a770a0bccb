package drivertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas/orchestrator/driver"
)

// watcher is a reader of Watch that remembers everything.
type watcher struct {
	f      *fixture
	cancel context.CancelFunc

	mu      sync.Mutex
	seen    []driver.Status
	errs    []error
	changed chan struct{} // closed and replaced with each yield
	ended   chan struct{}
}

// watch reads Watch and returns once it has yielded something: at least one task must be listed.
func (f *fixture) watch() *watcher {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	w := f.watchContext(ctx, cancel)
	w.wait("the status of a listed task", func(seen []driver.Status) bool { return len(seen) > 0 })
	return w
}

func (f *fixture) watchContext(ctx context.Context, cancel context.CancelFunc) *watcher {
	w := &watcher{f: f, cancel: cancel, changed: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for st, err := range f.d.Watch(ctx) {
			w.mu.Lock()
			if err != nil {
				w.errs = append(w.errs, err)
			} else {
				w.seen = append(w.seen, st)
			}
			close(w.changed)
			w.changed = make(chan struct{})
			w.mu.Unlock()
		}
	}()
	f.Cleanup(func() {
		cancel()
		select {
		case <-w.ended:
		case <-time.After(patience):
			f.Errorf("Watch did not end within %v of its context", patience)
		}
	})
	return w
}

func (w *watcher) statuses() ([]driver.Status, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen), w.changed
}

// wait waits until what was seen is as it should be.
func (w *watcher) wait(what string, ok func(seen []driver.Status) bool) {
	w.f.Helper()
	for timeout := time.After(patience); ; {
		seen, changed := w.statuses()
		if ok(seen) {
			return
		}
		select {
		case <-changed:
		case <-w.ended:
			if seen, _ := w.statuses(); !ok(seen) {
				w.f.Fatalf("Watch ended before it yielded %s; it yielded %+v", what, seen)
			}
			return
		case <-timeout:
			w.f.Fatalf("Watch did not yield %s; it yielded %+v", what, seen)
		}
	}
}

// waitState waits for a state of a task and returns the status.
func (w *watcher) waitState(id string, s driver.State) driver.Status {
	w.f.Helper()
	var found driver.Status
	w.wait(string(s)+" of "+id, func(seen []driver.Status) bool {
		i := slices.IndexFunc(seen, func(st driver.Status) bool { return st.ID == id && st.State == s })
		if i >= 0 {
			found = seen[i]
		}
		return i >= 0
	})
	return found
}

// waitEnd waits for the end, which must be one error of the class and the last thing of all.
func (w *watcher) waitEnd(class error) {
	w.f.Helper()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.f.Fatalf("Watch did not end within %v", patience)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) != 1 || !errors.Is(w.errs[0], class) {
		w.f.Errorf("Watch ended with %v, want one error that is %v", w.errs, class)
	}
}

// inOrder checks the order of each task's states: running, ended, gone.
func (w *watcher) inOrder() {
	w.f.Helper()
	rank := map[driver.State]int{driver.StateRunning: 1, driver.StateEnded: 2, driver.StateGone: 3}
	last := map[string]driver.State{}
	seen, _ := w.statuses()
	for _, st := range seen {
		if rank[st.State] == 0 || rank[st.State] < rank[last[st.ID]] || last[st.ID] == driver.StateGone {
			w.f.Errorf("Watch yielded %q of %s after %q", st.State, st.ID, last[st.ID])
		}
		last[st.ID] = st.State
	}
}
