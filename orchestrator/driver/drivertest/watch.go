package drivertest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func watchClauses() []clause {
	return []clause{
		{"snapshot-then-changes", watchChanges},
		{"many-readers", watchManyReaders},
		{"slow-reader", watchSlowReader},
		{"reader-leaves", watchReaderLeaves},
		{"context", watchContext},
		{"close", watchClose},
	}
}

func watchChanges(f *fixture) {
	first, second := f.serve(), f.serve()
	w := f.watch()
	w.waitState(first.ID, driver.StateRunning)
	w.waitState(second.ID, driver.StateRunning)
	third := f.serve()
	if st := w.waitState(third.ID, driver.StateRunning); !sameStatus(st, third) {
		f.Errorf("Watch yielded %+v, Start returned %+v", st, third)
	}
	f.stop(first.ID, patience)
	gone := w.waitState(first.ID, driver.StateGone)
	if gone.Exit == nil || gone.Exit.Reason != driver.ExitStopped {
		f.Errorf("Watch: the exit of a stopped task is %+v, want %q", gone.Exit, driver.ExitStopped)
	}
	w.inOrder()
}

func watchManyReaders(f *fixture) {
	first := f.serve()
	readers := []*watcher{f.watch(), f.watch(), f.watch()}
	second := f.serve()
	f.stop(first.ID, patience)
	for _, w := range readers {
		w.waitState(second.ID, driver.StateRunning)
		w.waitState(first.ID, driver.StateGone)
		w.inOrder()
	}
}

// watchSlowReader: a reader that does not read holds nothing up and misses no end.
func watchSlowReader(f *fixture) {
	f.serve()
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	var started []string
	gone := map[string]bool{}
	for st, err := range f.d.Watch(ctx) {
		if err != nil {
			f.Fatalf("Watch ended with %v; it yielded the end of %d of %d tasks", err, len(gone), len(started))
		}
		if started == nil { // the first status: everything happens while this reader sleeps
			for range 10 {
				st := f.serve()
				f.stop(st.ID, 0)
				started = append(started, st.ID)
			}
		}
		if st.State == driver.StateGone {
			gone[st.ID] = true
		}
		if len(gone) == len(started) {
			return
		}
	}
	f.Error("Watch ended without an error")
}

func watchReaderLeaves(f *fixture) {
	st := f.serve()
	f.within("Watch that is left", func() {
		for range f.d.Watch(f.ctx) {
			break
		}
	})
	f.stop(st.ID, patience)
	f.stop(f.serve().ID, patience)
}

func watchContext(f *fixture) {
	f.serve()
	w := f.watch()
	w.cancel()
	w.waitEnd(faas.ErrCanceled)
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	f.watchContext(ctx, cancel).waitEnd(faas.ErrTimeout)
}

// watchClose: the end of every task is seen, and then that of the driver.
func watchClose(f *fixture) {
	first, second := f.serve(), f.serve()
	w := f.watch()
	f.within("Close", func() {
		if err := f.d.Close(); err != nil {
			f.Errorf("Close: %v", err)
		}
	})
	w.waitEnd(faas.ErrClosed)
	w.waitState(first.ID, driver.StateGone)
	w.waitState(second.ID, driver.StateGone)
	w.inOrder()
	var yields atomic.Int32
	f.within("Watch after Close", func() {
		for _, err := range f.d.Watch(f.ctx) {
			if yields.Add(1); !errors.Is(err, faas.ErrClosed) {
				f.Errorf("Watch after Close: %v, want %v", err, faas.ErrClosed)
			}
		}
	})
	if n := yields.Load(); n != 1 {
		f.Errorf("Watch after Close yielded %d times, want one error", n)
	}
}
