package routertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/joinery/faas"
)

func scaleUpDown(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 5}}, Config{})
	for _, n := range []int{3, 5, 1, 2, 0, 4} {
		w.scale(n)
		w.until(fmt.Sprintf("%d instances", n), func() bool {
			l := w.load()
			return l.Wanted == n && l.Ready == n && l.Starting+l.Draining == 0 && w.fleet.alive() == n
		})
	}
	w.scale(9)
	w.until("as many as the bound allows", func() bool { return w.load().Ready == 5 })
	if n := w.fleet.most(); n > 5 {
		w.Errorf("%d instances at a time, the bound is 5", n)
	}
	if err := w.Scale(w.Context(), w.ref, -1, "the kit asks"); !errors.Is(err, faas.ErrInvalidArgument) {
		w.Errorf("Scale(-1): %v, want the class %q", err, faas.ErrInvalidArgument)
	}
}

func scaleDrains(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 2}, Config{})
	p := w.call(w.Context(), "hold")
	j := w.job("hold")
	w.scale(0)
	w.until("draining", func() bool { l := w.load(); return l.Draining == 1 && l.Ready == 0 && l.InFlight == 1 })
	j.finish()
	w.ok(p)
	w.until("no instance", func() bool { return w.fleet.alive() == 0 })
}

func scaleIdleFirst(tb testing.TB, h Harness) {
	for i := range 2 { // whichever of the two is busy
		w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 2}}, Config{})
		w.scaled(2)
		var calls []*pending
		for _, id := range []string{"hold-a", "hold-b"} {
			calls = append(calls, w.call(w.Context(), id))
			w.job(id)
		}
		busy, idle := w.job("hold-a"), w.job("hold-b")
		if i == 1 {
			busy, idle = idle, busy
		}
		idle.finish()
		w.until("one in flight", func() bool { return w.load().InFlight == 1 })
		w.scale(1)
		w.until("one instance left", func() bool { return w.fleet.alive() == 1 })
		select {
		case <-busy.u.done:
			w.Error("the busy instance was stopped, not the idle one")
		default:
		}
		busy.finish()
		for _, p := range calls {
			w.ok(p)
		}
	}
}

func scaleZeroRace(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 4, Scale: faas.Scale{Max: 2}}, Config{})
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		if req.ID == "long" {
			<-time.After(time.Millisecond)
		}
		return u.answer(ctx, req)
	})
	for i := range 300 {
		w.ok(w.call(w.Context(), "warm"))
		before := w.fleet.count(func(d *fleet) int { return d.handled })
		long := w.call(w.Context(), "long")
		if i%2 == 0 { // the scale-down comes before the call, with it, or while it runs
			w.until("a call in flight", func() bool { return w.fleet.count(func(d *fleet) int { return d.handled }) > before })
		}
		quick := w.call(w.Context(), "quick")
		w.scale(0)
		for _, p := range []*pending{long, quick} {
			if _, err := w.end(p); err != nil {
				w.Fatalf("round %d: a call failed by a scale-down: %v", i, err)
			}
		}
	}
	w.scale(0)
	w.until("no instance", func() bool { return w.fleet.alive() == 0 })
}

func loads(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	for l := range w.Loads() {
		w.Errorf("a function that nobody called or scaled has a load: %+v", l)
	}
	w.fleet.gate = make(chan struct{})
	calls := []*pending{w.call(w.Context(), "hold")}
	w.until("1 queued, 1 starting", func() bool {
		l := w.load()
		return l.Queued == 1 && l.Starting == 1 && l.Arrived == 1 && l.Wanted == -1
	})
	close(w.fleet.gate)
	w.job("hold")
	calls = append(calls, w.call(w.Context(), "next"))
	w.until("1 in flight, 1 queued, 1 ready", func() bool {
		l := w.load()
		return l.InFlight == 1 && l.Queued == 1 && l.Ready == 1 && l.Starting == 0 && l.Arrived == 2 && l.Completed == 0
	})
	if l := w.load(); time.Since(l.LastActive) > Patience || l.Function.Ref.Name != "f" {
		w.Errorf("the load says %+v", l)
	}
	w.job("hold").finish()
	for _, p := range calls {
		w.ok(p)
	}
	w.until("all accounted for", func() bool {
		l := w.load()
		return l.InFlight == 0 && l.Queued == 0 && l.Arrived == 2 && l.Completed == 2
	})
}

func closedAround(tb testing.TB, h Harness) {
	w := build(tb, h, faas.Spec{}, Config{})
	w.is(w.call(w.Context(), "before Start"), faas.ErrClosed)
	if err := w.Start(w.Context()); err != nil {
		w.Fatalf("Start: %v", err)
	}
	w.ok(w.call(w.Context(), "between"))
	for range 2 {
		if err := w.Shutdown(w.Context()); err != nil {
			w.Errorf("Shutdown: %v", err)
		}
	}
	w.is(w.call(w.Context(), "after Shutdown"), faas.ErrClosed)
	if err := w.Scale(w.Context(), w.ref, 1, "the kit asks"); !errors.Is(err, faas.ErrClosed) {
		w.Errorf("Scale after Shutdown: %v, want the class %q", err, faas.ErrClosed)
	}
	w.fleet.verify(tb)

	w = build(tb, h, faas.Spec{}, Config{})
	if err := w.Shutdown(w.Context()); err != nil {
		w.Errorf("Shutdown of a router that was not started: %v", err)
	}
	if err := w.Start(w.Context()); !errors.Is(err, faas.ErrClosed) {
		w.Errorf("Start after Shutdown: %v, want the class %q", err, faas.ErrClosed)
	}
}

func shutdownDrains(tb testing.TB, h Harness) {
	w := build(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	if err := w.Start(w.Context()); err != nil {
		w.Fatalf("Start: %v", err)
	}
	calls := []*pending{w.call(w.Context(), "hold")}
	w.job("hold")
	for i := range 5 {
		calls = append(calls, w.call(w.Context(), fmt.Sprint(i)))
		w.queued(i + 1)
	}
	down := make(chan error, 1)
	ctx, cancel := context.WithTimeout(w.Context(), Patience)
	defer cancel()
	go func() { down <- w.Shutdown(ctx) }()
	w.until("the intake closed", func() bool {
		probe, cancel := context.WithTimeout(w.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := w.Invoke(probe, &faas.Request{Function: w.ref})
		return errors.Is(err, faas.ErrClosed)
	})
	w.job("hold").finish()
	for _, p := range calls {
		w.ok(p)
	}
	if err := <-down; err != nil {
		w.Errorf("Shutdown: %v", err)
	}
	w.fleet.verify(tb)
}

func shutdownCut(tb testing.TB, h Harness) {
	w := build(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	if err := w.Start(w.Context()); err != nil {
		w.Fatalf("Start: %v", err)
	}
	held := w.call(w.Context(), "hold")
	w.job("hold")
	waits := w.call(w.Context(), "waits")
	w.queued(1)
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Millisecond)
	defer cancel()
	var err error
	down := make(chan struct{})
	go func() { defer close(down); err = w.Shutdown(ctx) }()
	wait(w, "a Shutdown that is out of time", down)
	if !errors.Is(err, faas.ErrTimeout) {
		w.Errorf("Shutdown that is out of time: %v, want the class %q", err, faas.ErrTimeout)
	}
	w.is(waits, faas.ErrClosed)
	w.is(held, faas.ErrFunction) // cut, as Instance.Stop says
	w.until("no instance", func() bool { return w.fleet.alive() == 0 })
}
