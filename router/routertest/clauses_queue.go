package routertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
)

func resolveUnknown(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	for _, ref := range []faas.Ref{{Name: "nobody"}, {Name: "f", Version: "9"}, {Namespace: "other", Name: "f"}} {
		w.is(w.send(w.Context(), &faas.Request{Function: ref}), faas.ErrNotFound)
		if err := w.Scale(w.Context(), ref, 1, "the kit asks"); !errors.Is(err, faas.ErrNotFound) {
			w.Errorf("Scale(%v): %v, want the class %q", ref, err, faas.ErrNotFound)
		}
	}
	if n := w.fleet.started(); n != 0 {
		w.Errorf("%d instances were started for functions that do not exist", n)
	}
}

func resolveVersions(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	w.fleet.serving(func(_ context.Context, u *unit, _ *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.String(u.version)}, nil
	})
	for _, c := range []struct {
		ref  faas.Ref
		want string
	}{
		{faas.Ref{Name: "f"}, "2"}, {faas.Ref{Namespace: "default", Name: "f"}, "2"}, {faas.Ref{Name: "f", Version: "2"}, "2"},
		{faas.Ref{Name: "f", Version: "1"}, "1"}, {faas.Ref{Name: "f", Version: "live"}, "1"},
	} {
		for range 2 { // the first call resolves, the second one may remember
			if got := w.ok(w.send(w.Context(), &faas.Request{Function: c.ref})); got != c.want {
				w.Errorf("%v was answered by version %q, want %q", c.ref, got, c.want)
			}
		}
	}
	if n := w.fleet.started(); n != 2 {
		w.Errorf("%d instances were started for 2 versions called one request at a time", n)
	}
}

func answerPassed(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{}, Config{})
	w.fleet.serving(func(_ context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		if req.Path == "/fail" {
			return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrFunction, "it broke")
		}
		body, _ := req.Body.Text()
		return &faas.Response{Status: 503, Header: req.Header, Body: faas.String(req.Method + req.Path + req.Query + body + req.ID)}, nil
	})
	header := map[string][]string{"X-A": {"1", "2"}}
	p := w.send(w.Context(), &faas.Request{Function: w.ref, ID: "id", Method: "PUT", Path: "/p", Query: "q=1", Header: header, Body: faas.String("body")})
	if got := w.ok(p); got != "PUT/pq=1bodyid" {
		w.Errorf("the function saw %q", got)
	}
	if p.resp.Status != 503 || len(p.resp.Header["X-A"]) != 2 {
		w.Errorf("an answer with an error status came back as %d with header %v", p.resp.Status, p.resp.Header)
	}
	w.is(w.send(w.Context(), &faas.Request{Function: w.ref, Path: "/fail"}), faas.ErrFunction)
}

func queueFIFO(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	var mu sync.Mutex
	var order []string
	w.fleet.serving(func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) {
		mu.Lock()
		order = append(order, req.ID)
		mu.Unlock()
		return u.answer(ctx, req)
	})
	first := w.call(w.Context(), "hold")
	w.job("hold")
	var calls []*pending
	var want []string
	for i := range 20 {
		id := fmt.Sprintf("q%02d", i)
		want = append(want, id)
		calls = append(calls, w.call(w.Context(), id))
		w.queued(i + 1)
	}
	w.job("hold").finish()
	w.ok(first)
	for _, p := range calls {
		w.ok(p)
	}
	if got := strings.Join(order[1:], " "); got != strings.Join(want, " ") {
		w.Errorf("served in the order %s, want %s", got, strings.Join(want, " "))
	}
}

// full checks the error of a request that a full queue refuses.
func (w *world) full(p *pending) {
	w.Helper()
	err := w.is(p, faas.ErrExhausted)
	var e *faas.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		w.Errorf("a full queue does not say when to retry: %v", err)
	}
}

func queueDepth(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{QueueDepth: 5})
	calls := []*pending{w.call(w.Context(), "hold")}
	w.job("hold")
	for i := range 5 {
		calls = append(calls, w.call(w.Context(), fmt.Sprint(i)))
		w.queued(i + 1)
	}
	for i := range 3 {
		w.full(w.call(w.Context(), fmt.Sprint("over", i)))
	}
	w.job("hold").finish()
	for _, p := range calls {
		w.ok(p)
	}
	w.ok(w.call(w.Context(), "room again"))
}

func queueBytes(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{QueueBytes: 1000})
	kilo := func(n int) *pending {
		return w.send(w.Context(), &faas.Request{Function: w.ref, Body: faas.Bytes(make([]byte, n))})
	}
	calls := []*pending{w.call(w.Context(), "hold")}
	w.job("hold")
	calls = append(calls, kilo(600))
	w.queued(1)
	w.full(kilo(600))
	calls = append(calls, kilo(400))
	w.queued(2)
	w.full(kilo(1))
	w.job("hold").finish()
	for _, p := range calls {
		w.ok(p)
	}
}

func queueDeadline(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	first := w.call(w.Context(), "hold")
	w.job("hold")
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Millisecond)
	defer cancel()
	late := w.call(ctx, "late")
	patient := w.call(w.Context(), "patient")
	w.is(late, faas.ErrTimeout)
	w.queued(1)
	w.job("hold").finish()
	w.ok(first)
	w.ok(patient)
	if n := w.fleet.count(func(d *fleet) int { return d.handled }); n != 2 {
		w.Errorf("%d requests reached an instance, want 2: one was past its deadline", n)
	}

	w = begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}, Timeout: 30 * time.Millisecond}, Config{})
	w.fleet.gate = make(chan struct{}) // never ready: the function's own timeout covers the cold start
	w.is(w.call(w.Context(), "cold"), faas.ErrTimeout)
}

func queueCancel(tb testing.TB, h Harness) {
	w := begin(tb, h, faas.Spec{Scale: faas.Scale{Max: 1}}, Config{})
	first := w.call(w.Context(), "hold")
	w.job("hold")
	ctx, cancel := context.WithCancel(w.Context())
	var calls []*pending
	for i := range 10 {
		calls = append(calls, w.call(ctx, fmt.Sprint(i)))
	}
	w.queued(10)
	cancel()
	for _, p := range calls {
		w.is(p, faas.ErrCanceled)
	}
	w.queued(0)
	w.job("hold").finish()
	w.ok(first)
	if n := w.fleet.count(func(d *fleet) int { return d.handled }); n != 1 {
		w.Errorf("%d requests reached an instance, want 1: the others were cancelled in the queue", n)
	}
	w.ok(w.call(w.Context(), "after"))
}
