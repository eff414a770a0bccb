package routertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/joinery/faas"
)

// startsExact calls a cold function many times at once: of the instances that are needed for
// all calls at a time, exactly as many are started as the bound allows.
func startsExact(tb testing.TB, h Harness) {
	rnd := rand.New(rand.NewPCG(7, 42))
	cases := [][3]int{{1000, 100, 0}, {1000, 7, 0}, {40, 1, 0}, {40, 1, 3}} // calls, concurrency, max
	for range 12 {
		cases = append(cases, [3]int{1 + rnd.IntN(300), 1 + rnd.IntN(40), rnd.IntN(20)})
	}
	for _, c := range cases {
		calls, concurrency, limit := c[0], c[1], c[2]
		want := (calls + concurrency - 1) / concurrency
		if limit > 0 {
			want = min(want, limit)
		}
		w := begin(tb, h, faas.Spec{Concurrency: concurrency, Scale: faas.Scale{Max: limit}}, Config{})
		w.fleet.gate = make(chan struct{})
		var all []*pending
		for i := range calls {
			all = append(all, w.call(w.Context(), fmt.Sprint("hold", i)))
		}
		w.queued(calls)
		close(w.fleet.gate)
		w.until(fmt.Sprintf("%d slots in use", min(calls, want*concurrency)), func() bool {
			return w.load().InFlight == min(calls, want*concurrency)
		})
		w.fleet.releaseAll()
		for _, p := range all {
			w.ok(p)
		}
		if n := w.fleet.started(); n != want {
			w.Errorf("%d calls, %d per instance, at most %d instances: %d were started, want %d", calls, concurrency, limit, n, want)
		}
		if n := w.fleet.most(); limit > 0 && n > limit {
			w.Errorf("%d instances at a time, the bound is %d", n, limit)
		}
	}
}

func startShared(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 10}, Config{})
	w.fleet.gate = make(chan struct{})
	ctx, cancel := context.WithCancel(w.Context())
	first := w.call(ctx, "first")
	w.until("the first start", func() bool { return w.fleet.started() == 1 })
	second := w.call(w.Context(), "second")
	w.queued(2)
	cancel()
	w.is(first, faas.ErrCanceled)
	w.queued(1)
	<-time.After(10 * time.Millisecond) // for a start that ends with its first caller to end
	close(w.fleet.gate)
	w.ok(second)
	if n := w.fleet.started(); n != 1 {
		w.Errorf("%d starts: the one that the first caller asked for was not left to the second", n)
	}
}

func startAbandoned(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	w.fleet.gate = make(chan struct{})
	tb.Cleanup(func() { close(w.fleet.gate) })
	ctx, cancel := context.WithCancel(w.Context())
	p := w.call(ctx, "only")
	w.until("the start", func() bool { return w.fleet.started() == 1 })
	cancel()
	w.is(p, faas.ErrCanceled)
	w.until("the cancelling of a start that nobody waits for", func() bool {
		return w.fleet.count(func(d *fleet) int { return d.aborted }) == 1
	})
	w.until("nothing starting", func() bool { l := w.load(); return l.Starting == 0 && l.Ready == 0 })

	w.scale(1)
	w.until("the start that Scale wants", func() bool { return w.fleet.started() == 2 })
	ctx, cancel = context.WithCancel(w.Context())
	p = w.call(ctx, "second")
	w.queued(1)
	cancel()
	w.is(p, faas.ErrCanceled)
	w.queued(0)
	if n := w.load().Starting; n != 1 {
		w.Errorf("%d starting after a caller gave up, want 1: Scale asked for it", n)
	}
}

var errBroken = errors.New("the kit broke this start")

func failing(int) error {
	return faas.Errorf("driver", "start", "unit", faas.ErrFunction, "%w", errBroken)
}

func startFailureTold(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 100}, Config{})
	w.fleet.gate, w.fleet.failWith = make(chan struct{}), failing
	var calls []*pending
	for i := range 100 {
		calls = append(calls, w.call(w.Context(), fmt.Sprint(i)))
	}
	w.queued(100)
	close(w.fleet.gate)
	for _, p := range calls {
		if err := w.is(p, faas.ErrFunction); !errors.Is(err, errBroken) {
			w.Fatalf("a caller was not told why: %v", err)
		}
	}
}

func startBacksOff(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	w.fleet.failWith = failing
	for range 3 {
		var calls []*pending
		for i := range 100 {
			calls = append(calls, w.call(w.Context(), fmt.Sprint(i)))
		}
		for _, p := range calls {
			var e *faas.Error
			if err := w.is(p, faas.ErrFunction); !errors.Is(err, errBroken) || !errors.As(err, &e) || e.RetryAfter <= 0 {
				w.Fatalf("a caller was not told why and when to retry: %v", err)
			}
		}
	}
	if n := w.fleet.started(); n > 3 {
		w.Errorf("%d starts for 300 calls of a function that does not start, want at most 3", n)
	}
}

func retryUnreached(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 10, Scale: faas.Scale{Max: 2}}, Config{})
	w.scaled(2)
	bad := w.fleet.all()[0]
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		if u == bad {
			return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrUnavailable, "not reached")
		}
		return u.answer(ctx, req)
	})
	for i := range 50 {
		p := w.send(w.Context(), &faas.Request{Function: w.ref, ID: fmt.Sprint(i), Body: faas.String("in hand")})
		if got := w.ok(p); got == bad.id {
			w.Fatalf("%s answered and cannot be reached", got)
		}
	}
}

func atMostOnce(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 10, Scale: faas.Scale{Max: 2}}, Config{})
	w.scaled(2)
	classes := []error{faas.ErrFunction, faas.ErrTimeout, faas.ErrCanceled, faas.ErrOutOfMemory}
	for _, class := range classes {
		w.fleet.serving(func(_ context.Context, u *unit, _ *faas.Request) (*faas.Response, error) {
			return nil, &faas.Error{Component: "deployer", Class: class, Err: faas.ErrFunction}
		})
		w.is(w.call(w.Context(), "x"), class)
	}
	// A body that is a stream may have been read: it is not sent again either.
	w.fleet.serving(func(_ context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		_ = req.Body.Close()
		return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrUnavailable, "not reached")
	})
	w.is(w.send(w.Context(), &faas.Request{Function: w.ref, Body: faas.Stream(neverRead{}, -1)}), faas.ErrUnavailable)
	if n := w.fleet.count(func(d *fleet) int { return d.handled }); n != len(classes)+1 {
		w.Errorf("%d requests reached an instance for %d calls", n, len(classes)+1)
	}
}

type neverRead struct{}

func (neverRead) Read([]byte) (int, error) { return 0, errors.New("read after it was closed") }

func retryBounded(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 10, Scale: faas.Scale{Max: 3}}, Config{})
	w.scaled(3)
	w.fleet.serving(func(_ context.Context, u *unit, _ *faas.Request) (*faas.Response, error) {
		return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrUnavailable, "not reached")
	})
	w.is(w.call(w.Context(), "x"), faas.ErrUnavailable)
	if n := w.fleet.count(func(d *fleet) int { return d.handled }); n < 2 || n > 10 {
		w.Errorf("a request that no instance could be reached with was tried %d times, want 2 to 10", n)
	}
}

func endedReplaced(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	for i := range 5 {
		answered := w.ok(w.call(w.Context(), fmt.Sprint(i)))
		held := w.call(w.Context(), fmt.Sprint("hold", i))
		j := w.job(fmt.Sprint("hold", i))
		waits := w.call(w.Context(), fmt.Sprint("waits", i))
		w.queued(1)
		if j.u.id != answered {
			w.Errorf("a second instance %s was started beside %s, the bound is 1", j.u.id, answered)
		}
		j.u.kill()
		w.is(held, faas.ErrFunction)
		if got := w.ok(waits); got == j.u.id {
			w.Errorf("a dead instance answered")
		}
	}
}

func lastNeverEjected(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 4, Scale: faas.Scale{Max: 1}}, Config{})
	w.ok(w.call(w.Context(), "well"))
	for _, class := range []error{faas.ErrFunction, faas.ErrUnavailable} {
		w.fleet.serving(func(_ context.Context, u *unit, _ *faas.Request) (*faas.Response, error) {
			return nil, faas.Errorf("deployer", "invoke", u.id, class, "one of many failures")
		})
		for i := range 50 {
			w.is(w.call(w.Context(), fmt.Sprint(i)), class)
		}
		w.fleet.serving(nil)
		ctx, cancel := context.WithTimeout(w.Context(), Patience)
		w.ok(w.call(ctx, "well again"))
		cancel()
	}
	if n := w.fleet.started(); n != 1 {
		w.Errorf("%d instances were started, want 1", n)
	}
}

// timings checks a cold and a warm call's account.
func timings(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	pause := func() { <-time.After(5 * time.Millisecond) }
	w.fleet.phases = func(t *faas.Timing) {
		for _, p := range []faas.Phase{faas.PhaseDecide, faas.PhasePlace, faas.PhaseStart, faas.PhaseInit} {
			began := time.Now()
			pause()
			t.Add(p, time.Since(began))
		}
	}
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		pause()
		return u.answer(ctx, req)
	})
	for _, cold := range []bool{true, false} {
		var t faas.Timing
		began := time.Now()
		w.ok(w.send(w.Context(), &faas.Request{Function: w.ref, Timing: &t}))
		whole := time.Since(began)
		if t.Cold() != cold {
			w.Errorf("cold start %v, want %v: %s", t.Cold(), cold, t.AppendServerTiming(nil))
		}
		for p := faas.PhaseDecide; cold && p <= faas.PhaseInit; p++ {
			if t.Get(p) <= 0 {
				w.Errorf("phase %v of a cold start has no time: %s", p, t.AppendServerTiming(nil))
			}
		}
		if t.Get(faas.PhaseRun) < 5*time.Millisecond {
			w.Errorf("a call that ran 5 ms has run for %v", t.Get(faas.PhaseRun))
		}
		if t.Total() > whole {
			w.Errorf("the phases sum to %v, the call took %v", t.Total(), whole)
		}
	}
}
