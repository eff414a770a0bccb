package routertest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
)

func lateBinding(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 2}}, Config{})
	w.scale(2)
	w.until("2 instances", func() bool { return len(w.fleet.all()) == 2 })
	calls := map[string]*pending{}
	for _, id := range []string{"hold-a", "hold-b"} {
		calls[id] = w.call(w.Context(), id)
		w.job(id)
	}
	for i := range 4 { // whichever instance frees its slot serves all of them
		calls[fmt.Sprint(i)] = w.call(w.Context(), fmt.Sprint(i))
	}
	w.queued(4)
	b := w.job("hold-b")
	b.finish()
	for i := range 4 {
		if got := w.ok(calls[fmt.Sprint(i)]); got != b.u.id {
			w.Errorf("request %d was served by %s, the free one is %s", i, got, b.u.id)
		}
	}
	w.job("hold-a").finish()
	w.ok(calls["hold-a"])
	w.ok(calls["hold-b"])
}

func concurrencyLimit(tb testing.TB, h Harness) {
	for _, limit := range []int{1, 3, 8} {
		w := begin(tb, h, faas.Spec{Concurrency: limit, Scale: faas.Scale{Max: 2}}, Config{})
		var calls []*pending
		for i := range 2*limit + 5 {
			calls = append(calls, w.call(w.Context(), fmt.Sprint("hold", i)))
		}
		// All slots are used, and (see fleet.verify) none twice.
		w.until("every slot in use", func() bool { l := w.load(); return l.InFlight == 2*limit && l.Queued == 5 })
		w.fleet.releaseAll()
		for _, p := range calls {
			w.ok(p)
		}
	}
}

func leastOutstanding(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Concurrency: 100, Scale: faas.Scale{Max: 4}}, Config{})
	w.scale(4)
	w.until("4 instances", func() bool { return len(w.fleet.all()) == 4 })
	w.until("4 ready", func() bool { return w.load().Starting == 0 })
	slow := w.fleet.all()[0]
	release := make(chan struct{})
	tb.Cleanup(func() { close(release) })
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		if u == slow {
			select {
			case <-release:
			case <-ctx.Done():
				return nil, faas.ContextError(ctx, "deployer", "invoke", u.id)
			}
		}
		return u.answer(ctx, req)
	})
	const total = 1000
	for i := range total {
		before := slow.requests()
		p := w.call(w.Context(), fmt.Sprint(i))
		w.until("a call answered or held by the slow instance", func() bool {
			select {
			case <-p.done:
				return true
			default:
				return slow.requests() > before
			}
		})
	}
	if n := slow.requests(); n >= total/20 {
		w.Errorf("the slow one of 4 instances got %d of %d requests, want less than 5 %%", n, total)
	}
}

func streamHolds(tb testing.TB, h Harness) {
	for _, end := range []string{"closed", "read"} {
		w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
		w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
			if req.ID == "stream" {
				return &faas.Response{Body: faas.Stream(strings.NewReader("a stream"), -1)}, nil
			}
			return u.answer(ctx, req)
		})
		first := w.call(w.Context(), "stream")
		resp, err := w.end(first)
		if err != nil {
			w.Fatalf("a streamed answer: %v", err)
		}
		second := w.call(w.Context(), "second")
		w.queued(1)
		if n := w.load().InFlight; n != 1 {
			w.Errorf("%d in flight while a body is streamed, want 1", n)
		}
		body := resp.Body.Reader()
		if end == "read" {
			if text, err := io.ReadAll(body); err != nil || string(text) != "a stream" {
				w.Errorf("the stream was %q, %v", text, err)
			}
			w.ok(second)
		}
		_ = body.Close()
		_ = body.Close()
		w.ok(second)
		w.until("no request in flight", func() bool { l := w.load(); return l.InFlight == 0 && l.Completed == 2 })
	}
}

func timeoutTravels(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Timeout: time.Hour}, Config{})
	left := make(chan time.Duration, 1)
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			left <- 0
		} else {
			left <- time.Until(deadline)
		}
		return u.answer(ctx, req)
	})
	w.ok(w.call(w.Context(), "own"))
	if d := <-left; d <= 50*time.Minute || d > time.Hour {
		w.Errorf("the function has %v left, its timeout is 1 h", d)
	}
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Minute)
	defer cancel()
	w.ok(w.call(ctx, "the caller's is earlier"))
	if d := <-left; d <= 0 || d > 10*time.Minute {
		w.Errorf("the function has %v left, the caller's deadline is in 10 min", d)
	}

	w = begin(tb, h, faas.Spec{Timeout: 300 * time.Millisecond}, Config{})
	w.is(w.call(w.Context(), "hold"), faas.ErrTimeout)
	w.ok(w.call(w.Context(), "slot is free again"))
}

func cancelReaches(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	ctx, cancel := context.WithCancel(w.Context())
	p := w.call(ctx, "hold")
	j := w.job("hold")
	cancel()
	w.is(p, faas.ErrCanceled)
	if j.ctx.Err() == nil {
		w.Error("the caller gave up and the function was not told")
	}
	w.ok(w.call(w.Context(), "slot is free again"))
	w.until("both calls accounted for", func() bool { l := w.load(); return l.InFlight == 0 && l.Completed == 2 })
}
