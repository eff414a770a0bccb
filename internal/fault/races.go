package main

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/router/httpfront"
)

// zeroRace scales a function to zero while calls come in, 10,000 times.
func zeroRace() ([]Figure, error) {
	p, err := platform.Start(platform.Config{Handlers: map[string]faas.Invoker{
		"ok": faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { return &faas.Response{}, nil }),
	}})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	ref, err := p.Publish("race", faas.Spec{Contract: faas.ContractHandler, Command: []string{"ok"}, Concurrency: 2, Scale: faas.Scale{Max: 4}})
	if err != nil {
		return nil, err
	}
	const rounds = 10_000
	var failed atomic.Int64
	for range rounds {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
				defer done()
				if _, err := p.Router.Invoke(ctx, &faas.Request{Function: ref}); err != nil {
					failed.Add(1)
				}
			})
		}
		if err := p.Router.Scale(context.Background(), ref, 0, "race"); err != nil {
			return nil, err
		}
		wg.Wait()
	}
	return []Figure{
		{Name: "zero-race-rounds", Value: rounds, Unit: "rounds"},
		{Name: "zero-race-failed", Value: float64(failed.Load()), Unit: "calls", Op: "==", Bound: 0},
	}, nil
}

// disconnect lets clients of the HTTP front hang up while their calls run.
func disconnect() ([]Figure, error) {
	began := make(chan struct{}, 1)
	ended := make(chan time.Time, 1)
	p, err := platform.Start(platform.Config{Handlers: map[string]faas.Invoker{
		"wait": faas.InvokerFunc(func(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- time.Now()
			return nil, ctx.Err()
		}),
	}})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if _, err := p.Publish("wait", faas.Spec{Contract: faas.ContractHandler, Command: []string{"wait"}, Concurrency: 4}); err != nil {
		return nil, err
	}
	url, stop, err := listen(httpfront.New(p.Router, nil))
	if err != nil {
		return nil, err
	}
	defer stop()
	const rounds = 10_000
	goroutines, files := 0, 0
	var worst time.Duration
	for i := range rounds {
		ctx, hangUp := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/function/wait", nil)
		if err != nil {
			hangUp()
			return nil, err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		<-began
		at := time.Now()
		hangUp()
		worst = max(worst, (<-ended).Sub(at))
		<-done
		if i == rounds/10 {
			goroutines, files = runtime.NumGoroutine(), descriptors()
		}
	}
	http.DefaultClient.CloseIdleConnections()
	return []Figure{
		{Name: "disconnect-told-after", Value: float64(worst.Milliseconds()), Unit: "ms", Op: "<=", Bound: 100},
		{Name: "disconnect-goroutines-grown", Value: float64(settled(runtime.NumGoroutine, goroutines) - goroutines), Unit: "goroutines", Op: "<=", Bound: 5},
		{Name: "disconnect-files-grown", Value: float64(settled(descriptors, files) - files), Unit: "files", Op: "<=", Bound: 5},
	}, nil
}

// settled returns the value once it is near the goal, or as it is after 2 s.
func settled(value func() int, goal int) int {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && value() > goal; time.Sleep(10 * time.Millisecond) {
	}
	return value()
}

// shutdown takes platforms down under load: what was accepted must be answered.
func shutdown() ([]Figure, error) {
	const rounds, callers = 100, 8
	var aborted atomic.Int64
	var answered, refused atomic.Int64
	var slowest time.Duration
	for range rounds {
		w, err := newWorld(faas.Spec{Concurrency: 4, Grace: 2 * time.Second})
		if err != nil {
			return nil, err
		}
		if w.healthy() != 1 {
			return nil, errors.Join(errors.New("the platform does not answer"), w.Close())
		}
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for {
					_, _, err := w.get("/sleep", "ms=20", 20*time.Second)
					switch {
					case err == nil:
						answered.Add(1)
					case errors.Is(err, faas.ErrClosed):
						refused.Add(1)
						return
					default:
						aborted.Add(1)
						return
					}
				}
			})
		}
		if err := w.waitInFlight(callers / 2); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := w.Close(); err != nil {
			return nil, err
		}
		slowest = max(slowest, time.Since(began))
		wg.Wait()
	}
	return []Figure{
		{Name: "shutdown-answered", Value: float64(answered.Load()), Unit: "calls"},
		{Name: "shutdown-refused", Value: float64(refused.Load()), Unit: "calls", Op: "==", Bound: rounds * callers},
		{Name: "shutdown-aborted", Value: float64(aborted.Load()), Unit: "calls", Op: "==", Bound: 0},
		{Name: "shutdown-took", Value: slowest.Seconds(), Unit: "s", Op: "<=", Bound: 3},
	}, nil
}
