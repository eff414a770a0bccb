package deployertest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/joinery/faas"
)

var instanceClauses = []clause{
	{Name: "stop/leaves-nothing", Check: func(tb testing.TB, b Bed) {
		inst := deploy(tb, b, b.Echo, nil)
		if err := inst.Stop(tb.Context()); err != nil {
			tb.Fatalf("stop: %v", err)
		}
		select {
		case <-inst.Done():
		default:
			tb.Error("Done is not closed when Stop has returned")
		}
		if err := inst.Err(); err != nil {
			tb.Errorf("Err is %v after Stop", err)
		}
		if n := b.Instances(tb); n != 0 {
			tb.Errorf("%d instances are there when Stop has returned", n)
		}
		if _, err := inst.Invoke(tb.Context(), &faas.Request{Function: b.Echo.Ref}); !errors.Is(err, faas.ErrUnavailable) && !errors.Is(err, faas.ErrClosed) {
			tb.Errorf("a call after Stop: the error is %v, want class %q or %q", err, faas.ErrUnavailable, faas.ErrClosed)
		}
	}},
	{Name: "stop/twice", Check: func(tb testing.TB, b Bed) {
		inst := deploy(tb, b, b.Echo, nil)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := inst.Stop(tb.Context()); err != nil {
					tb.Errorf("stop: %v", err)
				}
				if n := b.Instances(tb); n != 0 {
					tb.Errorf("%d instances are there when Stop has returned", n)
				}
			})
		}
		all.Wait()
		if err := inst.Stop(tb.Context()); err != nil {
			tb.Errorf("stop of a stopped instance: %v", err)
		}
	}},
	{Name: "stop/goes-on-when-canceled", Check: func(tb testing.TB, b Bed) {
		inst := deploy(tb, b, b.Echo, nil)
		ctx, cancel := context.WithCancel(tb.Context())
		cancel()
		if err := inst.Stop(ctx); err != nil {
			wantClass(tb, err, faas.ErrCanceled, "stop with an ended context")
		}
		wantDone(tb, inst, "a canceled Stop")
		wantInstances(tb, b, 0)
		if err := inst.Err(); err != nil {
			tb.Errorf("Err is %v after Stop", err)
		}
	}},
	{Name: "end/by-itself", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Exit, "Exit")
		inst := deploy(tb, b, b.Exit, nil)
		other := deploy(tb, b, b.Echo, nil)
		if resp, err := inst.Invoke(tb.Context(), &faas.Request{Function: b.Exit.Ref, Path: "/exit"}); err == nil {
			_ = resp.Body.Close()
		}
		wantDone(tb, inst, "an end by itself")
		wantClass(tb, inst.Err(), faas.ErrFunction, "an instance that ended by itself")
		if err := inst.Stop(tb.Context()); err != nil {
			tb.Errorf("stop of an instance that ended: %v", err)
		}
		wantInstances(tb, b, 1)
		wantClass(tb, inst.Err(), faas.ErrFunction, "after Stop, an instance that ended by itself")
		wantEcho(tb, other, b.Echo, "still here")
	}},
}
