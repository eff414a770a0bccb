package drivertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/joinery/faas"
)

func cancelClauses() []clause {
	return []clause{
		{"before-start", cancelBeforeStart},
		{"during-start", cancelDuringStart},
		{"deadline", cancelDeadline},
		{"any-point", cancelAnyPoint},
	}
}

func cancelBeforeStart(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	_, err := f.d.Start(ctx, f.task(Serve))
	f.wantClass("Start with a cancelled context", err, faas.ErrCanceled)
	f.nothingLeft("after it")
}

func cancelDuringStart(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	t := f.task(NeverReady)
	timer := time.AfterFunc(100*time.Millisecond, cancel)
	defer timer.Stop()
	f.within("a cancelled Start", func() {
		_, err := f.d.Start(ctx, t)
		f.wantClass("Start that is cancelled", err, faas.ErrCanceled)
	})
	f.nothingLeft("after it")
}

func cancelDeadline(f *fixture) {
	ctx, cancel := context.WithTimeout(f.ctx, 100*time.Millisecond)
	defer cancel()
	t := f.task(NeverReady)
	f.within("a Start with a deadline", func() {
		_, err := f.d.Start(ctx, t)
		f.wantClass("Start whose deadline passes", err, faas.ErrTimeout)
	})
	f.nothingLeft("after it")
}

// cancelAnyPoint: wherever in a start the cancel falls, either the task runs or
// nothing is left of it.
func cancelAnyPoint(f *fixture) {
	begun := time.Now()
	f.stop(f.serve().ID, 0)
	span := max(2*time.Since(begun), time.Millisecond)
	for range 20 {
		ctx, cancel := context.WithTimeout(f.ctx, rand.N(span))
		t := f.task(Serve)
		st, err := f.d.Start(ctx, t)
		cancel()
		switch {
		case err == nil:
			f.serves(st)
			f.stop(t.ID, 0)
		case !errors.Is(err, faas.ErrTimeout):
			f.Errorf("Start whose deadline passes: got %v, want %v", err, faas.ErrTimeout)
		}
		f.nothingLeft("after a Start whose deadline may have passed")
	}
}
