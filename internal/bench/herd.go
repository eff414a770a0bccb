package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/figure"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
)

// herd calls cold process functions 1,000 times at once and counts what was started.
func herd() ([]Figure, error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	p, err := platform.Start(platform.Config{})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	const calls = 1000
	var figures []Figure
	for _, concurrency := range []int{10, 50, 100} {
		name := fmt.Sprintf("herd-c%d", concurrency)
		ref, err := p.PublishProgram(name, bin, nil, faas.Spec{Contract: faas.ContractInherit, Concurrency: concurrency})
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		var lost atomic.Int64
		gate := make(chan struct{})
		for range calls {
			wg.Go(func() {
				<-gate
				ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
				defer done()
				resp, err := p.Router.Invoke(ctx, &faas.Request{Function: ref, Method: http.MethodGet, Path: "/sleep", Query: "ms=300"})
				if err != nil || resp.StatusCode() != http.StatusOK {
					lost.Add(1)
					return
				}
				resp.Body.Close()
			})
		}
		began := time.Now()
		close(gate)
		wg.Wait()
		took := time.Since(began)
		started := 0
		for load := range p.Router.Loads() {
			if load.Function.Ref.Name == name {
				started = load.Ready + load.Starting + load.Draining
			}
		}
		figures = append(figures,
			Figure{Name: name + "-starts", Value: float64(started), Unit: "instances", Op: "==", Bound: float64((calls + concurrency - 1) / concurrency)},
			Figure{Name: name + "-lost", Value: float64(lost.Load()), Unit: "calls", Op: "==", Bound: 0},
			Figure{Name: name + "-took", Value: took.Seconds(), Unit: "s"})
		ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
		err = p.ScaleToZero(ctx, ref)
		done()
		if err != nil {
			return figures, err
		}
	}
	return figures, nil
}

// parked holds 100,000 calls in a queue and tells what each of them costs.
func parked() ([]Figure, error) {
	const calls = 100_000
	release := make(chan struct{})
	var running atomic.Int64
	handler := faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
		running.Add(1)
		<-release
		return &faas.Response{}, nil
	})
	cfg := platform.Config{Handlers: map[string]faas.Invoker{"park": handler}}
	cfg.Router.QueueDepth = calls
	p, err := platform.Start(cfg)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	ref, err := p.Publish("park", faas.Spec{Contract: faas.ContractHandler, Command: []string{"park"}, Scale: faas.Scale{Max: 1}})
	if err != nil {
		return nil, err
	}
	// What a parked goroutine costs by itself, in the same run.
	idle := memoryOf(calls, func(wg *sync.WaitGroup, stop <-chan struct{}) {
		wg.Go(func() { <-stop })
	}, nil, nil)
	queued := func() int {
		for load := range p.Router.Loads() {
			return load.Queued
		}
		return 0
	}
	var lost atomic.Int64
	ctx := context.Background()
	each := memoryOf(calls, func(wg *sync.WaitGroup, _ <-chan struct{}) {
		wg.Go(func() {
			if _, err := p.Router.Invoke(ctx, &faas.Request{Function: ref}); err != nil {
				lost.Add(1)
			}
		})
	}, func() bool { return queued() >= calls-1 }, func() { close(release) })
	return []Figure{
		{Name: "parked-calls", Value: calls, Unit: "calls"},
		{Name: "parked-lost", Value: float64(lost.Load()), Unit: "calls", Op: "==", Bound: 0},
		{Name: "parked-bytes", Value: each, Unit: "B/call", Op: "<=", Bound: 16384},
		{Name: "parked-goroutine-bytes", Value: idle, Unit: "B/goroutine"},
	}, nil
}

// memoryOf starts n of something, waits until they are all there, and returns the
// bytes of memory that each has added.
func memoryOf(n int, start func(*sync.WaitGroup, <-chan struct{}), there func() bool, release func()) float64 {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	before := liveMemory()
	for range n {
		start(&wg, stop)
	}
	for there != nil && !there() {
		time.Sleep(20 * time.Millisecond)
	}
	after := liveMemory()
	close(stop)
	if release != nil {
		release()
	}
	wg.Wait()
	return float64(after-before) / float64(n)
}

// liveMemory is what heap and stacks hold after a collection.
func liveMemory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idle registers 10,000 functions, calls each of them once, and tells what they cost
// while nobody calls them, and whether they slow down a warm call to another one.
func idle() ([]Figure, error) {
	handlers := map[string]faas.Invoker{
		"ok": faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { return &faas.Response{}, nil }),
	}
	spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"ok"}, Concurrency: 64}
	p, warm, err := hotPlatform(handlers, spec)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	began := time.Now()
	for i := range 10_000 {
		if _, err := p.Publish(fmt.Sprintf("idle%d", i), spec); err != nil {
			return nil, err
		}
	}
	registered := time.Since(began)
	began = time.Now()
	for i := range 10_000 {
		ref := faas.Ref{Name: fmt.Sprintf("idle%d", i)}
		if _, err := p.Router.Invoke(context.Background(), &faas.Request{Function: ref}); err != nil {
			return nil, err
		}
		if err := p.Router.Scale(context.Background(), ref, 0, "bench"); err != nil {
			return nil, err
		}
	}
	calledOnce := time.Since(began)
	runtime.GC()
	cpu, wall := processCPU(), time.Now()
	time.Sleep(10 * time.Second)
	share := (processCPU() - cpu).Seconds() / time.Since(wall).Seconds() * 100
	memory := figure.ResidentMB()

	// The same call on a platform that has no other function, in turn.
	alone, warmAlone, err := hotPlatform(handlers, spec)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	var change []float64
	for range 40 {
		crowded, err := warm()
		if err != nil {
			return nil, err
		}
		lonely, err := warmAlone()
		if err != nil {
			return nil, err
		}
		change = append(change, crowded/lonely)
	}
	return []Figure{
		{Name: "idle-memory", Value: memory, Unit: "MB", Op: "<=", Bound: 200},
		{Name: "idle-cpu", Value: share, Unit: "%-of-a-core", Op: "<=", Bound: 1},
		{Name: "idle-warm-change", Value: median(change), Unit: "x-of-alone", Op: "<=", Bound: 1.1},
		{Name: "idle-register", Value: registered.Seconds(), Unit: "s"},
		{Name: "idle-cold-calls", Value: 10_000 / calledOnce.Seconds(), Unit: "cold-calls/s"},
	}, nil
}

// hotPlatform is a platform with one warm function, and a measurement of a call to it in ns.
func hotPlatform(handlers map[string]faas.Invoker, spec faas.Spec) (*platform.Platform, func() (float64, error), error) {
	p, err := platform.Start(platform.Config{Handlers: handlers})
	if err != nil {
		return nil, nil, err
	}
	hot, err := p.Publish("hot", spec)
	if err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	req := &faas.Request{Function: hot.Unversioned()}
	return p, func() (float64, error) {
		const n = 100_000
		began := time.Now()
		for range n {
			if _, err := p.Router.Invoke(context.Background(), req); err != nil {
				return 0, err
			}
		}
		return float64(time.Since(began).Nanoseconds()) / n, nil
	}, nil
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
