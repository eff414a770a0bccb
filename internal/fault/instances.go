package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router"
)

// instanceKill kills the only instance while calls are in flight, again and again.
func instanceKill() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Concurrency: 16, Scale: faas.Scale{Max: 2}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const rounds, calls = 25, 8
	var clear, unclear, slow, recovered float64
	for range rounds {
		pid, err := w.pid()
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		results := make(chan error, calls)
		for range calls {
			wg.Go(func() {
				_, _, err := w.get("/sleep", "ms=10000", 20*time.Second)
				results <- err
			})
		}
		if err := w.waitInFlight(calls); err != nil {
			return nil, err
		}
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return nil, err
		}
		for range calls {
			if err := <-results; errors.Is(err, faas.ErrFunction) {
				clear++
			} else {
				unclear++
			}
			if time.Since(killed) > time.Second {
				slow++
			}
		}
		wg.Wait()
		recovered += w.healthy()
	}
	figures := []Figure{
		{Name: "instance-kill-clear", Value: clear, Unit: "calls", Op: "==", Bound: rounds * calls},
		{Name: "instance-kill-unclear", Value: unclear, Unit: "calls", Op: "==", Bound: 0},
		{Name: "instance-kill-told-late", Value: slow, Unit: "calls", Op: "==", Bound: 0},
		{Name: "instance-kill-recovered", Value: recovered, Unit: "rounds", Op: "==", Bound: rounds},
	}
	if err := w.scaleToZero(); err != nil {
		return figures, err
	}
	return append(figures, w.leftovers("instance-kill")...), nil
}

// waitInFlight waits until n calls are being handled.
func (w *world) waitInFlight(n int) error {
	return w.waitLoad("the calls are not in flight", func(l router.Load) bool { return l.InFlight >= n })
}

// waitReady waits until n instances take requests.
func (w *world) waitReady(n int) error {
	return w.waitLoad("the instances are not ready", func(l router.Load) bool { return l.Ready >= n })
}

// waitLoad waits until a function's load is as wanted.
func (w *world) waitLoad(otherwise string, wanted func(router.Load) bool) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		for load := range w.Router.Loads() {
			if wanted(load) {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return errors.New(otherwise + " after 20 s")
		}
	}
}

// midResponse calls a function that promises 1,000 bytes, sends 10 and dies.
func midResponse() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Scale: faas.Scale{Max: 1}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const rounds = 20
	var told, truncated, recovered float64
	for range rounds {
		switch status, body, err := w.get("/die-mid-response", "", 20*time.Second); {
		case errors.Is(err, faas.ErrFunction):
			told++
		case err == nil && status == http.StatusOK && len(body) < 1000:
			truncated++
		}
		recovered += w.healthy()
	}
	return []Figure{
		{Name: "mid-response-told", Value: told, Unit: "calls", Op: "==", Bound: rounds},
		{Name: "mid-response-truncated-success", Value: truncated, Unit: "calls", Op: "==", Bound: 0},
		{Name: "mid-response-recovered", Value: recovered, Unit: "rounds", Op: "==", Bound: rounds},
	}, nil
}

// garbage calls a function that answers what is not HTTP.
func garbage() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Scale: faas.Scale{Max: 1}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const rounds = 50
	var told, recovered float64
	for range rounds {
		_, _, err := w.get("/garbage", "", 20*time.Second)
		told += count(errors.Is(err, faas.ErrFunction))
		recovered += w.healthy()
	}
	return []Figure{
		{Name: "garbage-told", Value: told, Unit: "calls", Op: "==", Bound: rounds},
		{Name: "garbage-recovered", Value: recovered, Unit: "rounds", Op: "==", Bound: rounds},
	}, nil
}

// neverReady sends a herd to a function that never serves.
func neverReady() ([]Figure, error) {
	const calls, limit = 200, 2 * time.Second
	w, err := newWorld(faas.Spec{StartTimeout: limit, Concurrency: calls, Contract: faas.ContractHTTP}, "never-ready")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	began := time.Now()
	var wg sync.WaitGroup
	var told, late atomic.Int64
	for range calls {
		wg.Go(func() {
			_, _, err := w.get("/echo", "", 30*time.Second)
			if errors.Is(err, faas.ErrTimeout) || errors.Is(err, faas.ErrFunction) {
				told.Add(1)
			}
			if time.Since(began) > limit+time.Second {
				late.Add(1)
			}
		})
	}
	wg.Wait()
	figures := []Figure{
		{Name: "never-ready-told", Value: float64(told.Load()), Unit: "calls", Op: "==", Bound: calls},
		{Name: "never-ready-told-late", Value: float64(late.Load()), Unit: "calls", Op: "==", Bound: 0},
	}
	// Callers go on knocking until 10 s have passed since the first one.
	var knocks int
	for time.Since(began) < 10*time.Second {
		w.get("/echo", "", 5*time.Second)
		knocks++
		time.Sleep(10 * time.Millisecond)
	}
	figures = append(figures, Figure{Name: "never-ready-starts-in-10s", Value: float64(w.starts()), Unit: "starts", Op: "<=", Bound: 3},
		Figure{Name: "never-ready-knocks", Value: float64(knocks), Unit: "calls"})
	ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
	defer done()
	if err := w.WaitForNoWorkload(ctx); err != nil {
		return figures, err
	}
	return append(figures, w.leftovers("never-ready")...), nil
}

// hungInstance stops one of four instances and counts who notices.
func hungInstance() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Concurrency: 8, Timeout: 2 * time.Second, Scale: faas.Scale{Max: 4}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Router.Scale(context.Background(), w.fn, 4, "fault"); err != nil {
		return nil, err
	}
	if err := w.waitReady(4); err != nil {
		return nil, err
	}
	pid, err := w.pid()
	if err != nil {
		return nil, err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	began := time.Now()
	var wg sync.WaitGroup
	var early, after, failed atomic.Int64
	for range 8 {
		wg.Go(func() {
			for time.Since(began) < 15*time.Second {
				sent := time.Since(began)
				_, _, err := w.get("/echo", "", 2*time.Second)
				switch {
				case sent < 3*time.Second:
					early.Add(1)
				case err != nil:
					failed.Add(1)
					fallthrough
				default:
					after.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return []Figure{
		{Name: "hung-instance-calls", Value: float64(early.Load() + after.Load()), Unit: "calls"},
		{Name: "hung-instance-success-after-3s", Value: 100 * (1 - float64(failed.Load())/float64(max(after.Load(), 1))), Unit: "%", Op: ">=", Bound: 99.9},
	}, nil
}

// slowInstance makes one of four instances answer 2 s late and measures which calls it gets
// and what the others do. Turns with and without it alternate and the median of their p99
// counts, since other work on the machine shows in so short answers.
func slowInstance() ([]Figure, error) {
	const rounds, perSecond, turn, late = 10, 1000, time.Second, 2 * time.Second
	w, err := newWorld(faas.Spec{Concurrency: 100, Scale: faas.Scale{Min: 4, Max: 4}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Router.Scale(context.Background(), w.fn, 4, "fault"); err != nil {
		return nil, err
	}
	if err := w.waitReady(4); err != nil {
		return nil, err
	}
	w.offer(perSecond, turn) // connections are made
	query := fmt.Sprintf("ms=%d&for=%d", late.Milliseconds(), turn.Milliseconds())
	var before, after []float64
	slow, calls, failed := 0, 0, 0
	for range rounds {
		byPid, lost := w.offer(perSecond, turn)
		before, failed = append(before, p99(together(byPid))), failed+lost
		_, body, err := w.get("/slow", query, 20*time.Second)
		if err != nil {
			return nil, err
		}
		byPid, lost = w.offer(perSecond, turn)
		calls, failed = calls+len(together(byPid)), failed+lost
		slow += len(byPid[string(body)])
		delete(byPid, string(body))
		after = append(after, p99(together(byPid)))
	}
	return []Figure{
		{Name: "slow-instance-calls", Value: float64(calls), Unit: "calls"},
		{Name: "slow-instance-failed", Value: float64(failed), Unit: "calls", Op: "==", Bound: 0},
		{Name: "slow-instance-share", Value: 100 * float64(slow) / float64(max(calls, 1)), Unit: "%", Op: "<=", Bound: 5},
		{Name: "slow-instance-p99-before", Value: median(before), Unit: "ms"},
		{Name: "slow-instance-p99-others", Value: median(after), Unit: "ms"},
		{Name: "slow-instance-p99-ratio", Value: median(after) / median(before), Unit: "x", Op: "<=", Bound: 1.1},
	}, nil
}

func together(byPid map[string][]time.Duration) []time.Duration {
	return slices.Concat(slices.Collect(maps.Values(byPid))...)
}

// offer makes calls at that rate, whatever becomes of those before, and returns how
// long they took by the process that answered, and how many were not answered.
func (w *world) offer(perSecond int, d time.Duration) (byPid map[string][]time.Duration, failed int) {
	byPid = map[string][]time.Duration{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		wg.Go(func() {
			began := time.Now()
			status, body, err := w.get("/pid", "", 20*time.Second)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || status != http.StatusOK {
				failed++
				return
			}
			byPid[string(body)] = append(byPid[string(body)], took)
		})
	}
	wg.Wait()
	return byPid, failed
}
