package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/router/memrouter"
)

const (
	queueBound = 10_000
	offered    = 2 * queueBound
)

// queueFull offers twice what the queue holds to a function that is busy: exactly what it
// holds is answered later, the rest is refused at once and told when to come again. Of the rounds the
// median p99 counts: a caller that other work takes the processor from stands behind all others.
func queueFull() ([]Figure, error) {
	const rounds = 5
	exact, other := 0.0, 0
	var late []float64
	grown := 0.0
	for range rounds {
		o, err := queueRound()
		if err != nil {
			return nil, err
		}
		exact += count(o.answered == queueBound && len(o.refusals) == offered-queueBound)
		other += o.other
		late, grown = append(late, p99(o.refusals)), max(grown, o.grown)
	}
	return []Figure{
		{Name: "queue-full-exact", Value: exact, Unit: "rounds", Op: "==", Bound: rounds},
		{Name: "queue-full-other-errors", Value: float64(other), Unit: "calls", Op: "==", Bound: 0},
		{Name: "queue-full-refusal-p99", Value: median(late), Unit: "ms", Op: "<=", Bound: 10},
		{Name: "queue-full-refusal-p99-worst", Value: slices.Max(late), Unit: "ms"},
		{Name: "queue-full-memory-grown", Value: grown, Unit: "MB", Op: "<=", Bound: 100},
	}, nil
}

// queueRound fills the queue of a platform of its own.
func queueRound() (o outcome, err error) {
	goOn := make(chan struct{})
	p, err := platform.Start(platform.Config{
		Router: memrouter.Config{QueueDepth: queueBound},
		Handlers: map[string]faas.Invoker{
			"busy": faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
				<-goOn
				return &faas.Response{}, nil
			}),
		},
	})
	if err != nil {
		return o, err
	}
	defer p.Close()
	letGo := sync.OnceFunc(func() { close(goOn) })
	defer letGo()
	ref, err := p.Publish("busy", faas.Spec{Contract: faas.ContractHandler, Command: []string{"busy"},
		Concurrency: 1, Timeout: time.Minute, Scale: faas.Scale{Max: 1}})
	if err != nil {
		return o, err
	}
	w := &world{p, ref}
	first := make(chan error, 1)
	go func() {
		_, err := p.Router.Invoke(context.Background(), &faas.Request{Function: ref})
		first <- err
	}()
	if err := w.waitInFlight(1); err != nil {
		return o, err
	}
	o = w.overflow(letGo)
	return o, <-first
}

// outcome is what became of the calls of queueFull.
type outcome struct {
	answered, other int
	refusals        []time.Duration // that say when to come again
	grown           float64
}

// overflow makes all calls at once, and lets the function go on when those that the queue
// does not hold have been told so.
func (w *world) overflow(goOn func()) (o outcome) {
	var mu sync.Mutex
	var calls, refusals sync.WaitGroup
	refusals.Add(offered - queueBound)
	call := func() {
		began := time.Now()
		_, err := w.Router.Invoke(context.Background(), &faas.Request{Function: w.fn})
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		var ferr *faas.Error
		switch {
		case err == nil:
			o.answered++
		case errors.Is(err, faas.ErrExhausted) && errors.As(err, &ferr) && ferr.RetryAfter > 0:
			o.refusals = append(o.refusals, took)
			if len(o.refusals) <= offered-queueBound {
				refusals.Done()
			}
		default:
			o.other++
		}
	}
	o.grown = residentGrown(func() {
		for range offered {
			calls.Go(call)
		}
		told := make(chan struct{})
		go func() { refusals.Wait(); close(told) }()
		select {
		case <-told:
		case <-time.After(20 * time.Second): // fewer were refused: the figures say so
		}
		goOn()
		calls.Wait()
	})
	return o
}

// cpuBurner measures a function alone and beside eight instances of another one
// that burn as much CPU as their limits leave them.
func cpuBurner() ([]Figure, error) {
	const rounds, burners = 3, 8
	w, err := newWorld(faas.Spec{Concurrency: 1, Timeout: time.Minute, Grace: time.Second,
		Limits: faas.Resources{MilliCPU: 200}, Scale: faas.Scale{Max: burners}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	info, err := w.Instances.Info(context.Background())
	if err != nil {
		return nil, err
	}
	if !info.Limits.MilliCPU {
		fmt.Println("# this machine offers no CPU limit")
		return nil, errors.New("the process driver cannot limit CPU on this machine")
	}
	other, err := w.bystander()
	if err != nil {
		return nil, err
	}
	if err := w.Router.Scale(context.Background(), w.fn, burners, "fault"); err != nil {
		return nil, err
	}
	if err := w.waitReady(burners); err != nil {
		return nil, err
	}
	var alone, beside, control []time.Duration
	for range rounds {
		calls, _, err := other.timed(4 * time.Second)
		if err != nil {
			return nil, err
		}
		alone = append(alone, calls...)
		var lists []time.Duration
		if err := w.burn(burners, 6*time.Second, func() (err error) {
			calls, lists, err = other.timed(4 * time.Second)
			return err
		}); err != nil {
			return nil, err
		}
		beside, control = append(beside, calls...), append(control, lists...)
	}
	return []Figure{
		{Name: "cpu-burner-p99-alone", Value: p99(alone), Unit: "ms"},
		{Name: "cpu-burner-p99-beside", Value: p99(beside), Unit: "ms"},
		{Name: "cpu-burner-p99-ratio", Value: p99(beside) / p99(alone), Unit: "x", Op: "<=", Bound: 3},
		{Name: "cpu-burner-control-p99", Value: p99(control), Unit: "ms", Op: "<=", Bound: 100},
	}, nil
}

// bystander publishes the program of w once more, without its limits, and starts it.
func (w *world) bystander() (*world, error) {
	fn := w.function()
	ref, err := w.Publish("bystander", faas.Spec{Contract: fn.Spec.Contract, Code: fn.Spec.Code, Command: fn.Spec.Command})
	if err != nil {
		return nil, err
	}
	other := &world{w.Platform, ref}
	if other.healthy() != 1 {
		return nil, errors.New("the bystander does not answer")
	}
	return other, nil
}

// timed calls the function and asks the manager for its list every 5 ms, one after the other.
func (w *world) timed(d time.Duration) (calls, lists []time.Duration, err error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		began := time.Now()
		status, _, err := w.get("/echo", "", 20*time.Second)
		if err != nil || status != http.StatusOK {
			return nil, nil, errors.Join(err, fmt.Errorf("the bystander answered with status %d", status))
		}
		calls = append(calls, time.Since(began))
		began = time.Now()
		if _, err := w.Manager.List(context.Background()); err != nil {
			return nil, nil, err
		}
		lists = append(lists, time.Since(began))
	}
	return calls, lists, nil
}

// burn runs f while n instances burn CPU for the duration, and fails when one of them did not.
func (w *world) burn(n int, d time.Duration, f func() error) error {
	errs := make(chan error, n)
	query := fmt.Sprintf("ms=%d", d.Milliseconds())
	for range n {
		go func() {
			_, _, err := w.get("/burn", query, d+20*time.Second)
			errs <- err
		}()
	}
	err := w.waitInFlight(n)
	if err == nil {
		err = f()
	}
	all := []error{err}
	for range n {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
