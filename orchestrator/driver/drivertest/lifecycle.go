package drivertest

import (
	"errors"
	"sync"
	"time"

	"github.com/joinery/faas"
)

func lifecycleClauses() []clause {
	return []clause{
		{"close-stops-all", closeStopsAll},
		{"close-twice", closeTwice},
		{"closed", closedRefuses},
		{"close-during-start", closeDuringStart},
		{"close-during-stop", closeDuringStop},
	}
}

func (f *fixture) close() {
	f.Helper()
	f.within("Close", func() {
		if err := f.d.Close(); err != nil {
			f.Errorf("Close: %v", err)
		}
	})
}

// closeStopsAll: by force, and with nothing left behind.
func closeStopsAll(f *fixture) {
	f.serve()
	f.start(f.task(IgnoreTerm))
	f.close()
	f.noLeftovers("after Close")
}

func closeTwice(f *fixture) {
	f.serve()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			f.close()
			f.noLeftovers("after a concurrent Close")
		})
	}
	wg.Wait()
	f.close()
}

func closedRefuses(f *fixture) {
	st, t := f.serve(), f.task(Serve)
	f.close()
	_, err := f.d.Info(f.ctx)
	f.wantClass("Info after Close", err, faas.ErrClosed)
	_, err = f.d.Start(f.ctx, t)
	f.wantClass("Start after Close", err, faas.ErrClosed)
	f.wantClass("Stop after Close", f.d.Stop(f.ctx, st.ID, 0), faas.ErrClosed)
	_, err = f.d.List(f.ctx)
	f.wantClass("List after Close", err, faas.ErrClosed)
}

// closeDuringStart: a Start under way ends, and nothing is left of it.
func closeDuringStart(f *fixture) {
	t := f.task(NeverReady)
	started := make(chan error, 1)
	go func() {
		_, err := f.d.Start(f.ctx, t)
		started <- err
	}()
	select {
	case err := <-started:
		f.Fatalf("Start of an instance that is never ready returned %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	f.close()
	f.within("Start during Close", func() {
		f.wantClass("Start during Close", <-started, faas.ErrClosed)
	})
	f.noLeftovers("after Close during a Start")
}

// closeDuringStop: Close does not wait for the grace of a Stop under way.
func closeDuringStop(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	stopped := make(chan error, 1)
	go func() { stopped <- f.d.Stop(f.ctx, st.ID, 3*patience) }()
	select {
	case err := <-stopped:
		f.Fatalf("Stop ended an instance that ignores the polite way before its grace: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	f.close()
	f.within("Stop during Close", func() {
		if err := <-stopped; err != nil && !errors.Is(err, faas.ErrClosed) { // it may have come too late
			f.Errorf("Stop of a task that Close ended: %v", err)
		}
	})
}
