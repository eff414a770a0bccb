package drivertest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/joinery/faas"
)

func stopClauses() []clause {
	return []clause{
		{"polite", stopIsPolite},
		{"by-force", stopByForce},
		{"at-once", stopAtOnce},
		{"descendants", stopDescendants},
		{"twice", stopTwice},
		{"concurrent", stopConcurrent},
		{"shortest-grace", stopShortestGrace},
		{"unknown", stopUnknown},
		{"context", stopContext},
	}
}

// stopIsPolite: an instance that drains gets the time to finish the call in flight.
func stopIsPolite(f *fixture) {
	st := f.serve()
	resp, err := f.call(st.Endpoint, "/stream", "n=3&ms=200", "")
	if err != nil {
		f.Fatalf("call /stream: %v", err)
	}
	body := resp.Body.Reader()
	defer body.Close()
	lines := bufio.NewReader(body)
	if _, err := lines.ReadString('\n'); err != nil {
		f.Fatalf("first line of /stream: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.stop(st.ID, patience) })
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "chunk 1\nchunk 2\n" {
		f.Errorf("a call in flight during a polite Stop got %q and the error %v", rest, err)
	}
	wg.Wait()
	f.nothingLeft("after a polite Stop")
}

func stopByForce(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	f.serves(st)
	f.stop(st.ID, 200*time.Millisecond)
	f.nothingLeft("after Stop by force")
}

func stopAtOnce(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	f.stop(st.ID, 0)
	f.nothingLeft("after Stop without grace")
}

// stopDescendants: what the instance started ends with it, however far it went.
func stopDescendants(f *fixture) {
	st := f.start(f.task(Descend))
	f.text(st.Endpoint, "/daemon", "", "")
	f.stop(st.ID, time.Second)
	f.nothingLeft("after Stop of an instance that left a daemon")
}

func stopTwice(f *fixture) {
	st := f.serve()
	f.stop(st.ID, patience)
	f.wantClass("Stop of a stopped task", f.d.Stop(f.ctx, st.ID, 0), faas.ErrNotFound)
}

// stopConcurrent: each Stop returns after the end, whoever began it.
func stopConcurrent(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := f.d.Stop(f.ctx, st.ID, 200*time.Millisecond); err != nil && !errors.Is(err, faas.ErrNotFound) {
				f.Errorf("concurrent Stop: %v", err)
			}
			if _, ok := f.listed(st.ID); ok {
				f.Error("a concurrent Stop returned while the task was still listed")
			}
		})
	}
	f.within("concurrent Stop", wg.Wait)
	f.nothingLeft("after concurrent Stops")
}

// stopShortestGrace: a Stop by force is not kept waiting by an earlier polite one.
func stopShortestGrace(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	polite := make(chan error, 1)
	go func() { polite <- f.d.Stop(f.ctx, st.ID, 3*patience) }()
	select {
	case err := <-polite:
		f.Fatalf("Stop ended an instance that ignores the polite way before its grace: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	f.stop(st.ID, 0)
	f.within("the polite Stop", func() {
		if err := <-polite; err != nil && !errors.Is(err, faas.ErrNotFound) { // it may have come too late
			f.Errorf("the polite Stop: %v", err)
		}
	})
}

func stopUnknown(f *fixture) {
	f.wantClass("Stop of an unknown task", f.d.Stop(f.ctx, "no-such-task", 0), faas.ErrNotFound)
}

// stopContext: a Stop that gives up does not call off the end.
func stopContext(f *fixture) {
	st := f.start(f.task(IgnoreTerm))
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	f.within("Stop with a deadline", func() {
		f.wantClass("Stop whose deadline passes", f.d.Stop(ctx, st.ID, 2*time.Second), faas.ErrTimeout)
	})
	f.eventually("the end goes on after Stop gave up", func() bool { return len(f.ids()) == 0 })
	f.nothingLeft("after it")
}
