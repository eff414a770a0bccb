package main

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
)

// dispatcher is the baseline of warm-memory: the least that dispatches correctly,
// a concurrent map look-up, a semaphore and the call.
type dispatcher struct{ functions sync.Map }

type target struct {
	slots   chan struct{}
	handler faas.Invoker
}

func (d *dispatcher) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	v, ok := d.functions.Load(req.Function.Name)
	if !ok {
		return nil, faas.ErrNotFound
	}
	t := v.(*target)
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	resp, err := t.handler.Invoke(ctx, req)
	<-t.slots
	return resp, err
}

const (
	warmFunctions   = 100
	warmConcurrency = 64
)

// warmMemory measures a warm call through resolve, pick, invoke and account to
// a handler in the process.
func warmMemory() ([]Figure, error) {
	ok := &faas.Response{}
	handler := faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { return ok, nil })
	p, err := platform.Start(platform.Config{Handlers: map[string]faas.Invoker{"ok": handler}})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	base := &dispatcher{}
	requests := make([]*faas.Request, warmFunctions)
	for i := range requests {
		ref, err := p.Publish(fmt.Sprintf("f%d", i), faas.Spec{
			Contract: faas.ContractHandler, Command: []string{"ok"}, Concurrency: warmConcurrency,
		})
		if err != nil {
			return nil, err
		}
		requests[i] = &faas.Request{Function: ref.Unversioned()}
		base.functions.Store(ref.Name, &target{slots: make(chan struct{}, warmConcurrency), handler: handler})
		if _, err := p.Router.Invoke(context.Background(), requests[i]); err != nil {
			return nil, err
		}
	}

	// serial calls one function (spread 1) or all of them in turn.
	serial := func(inv faas.Invoker, spread int) func(*testing.B) {
		return func(b *testing.B) {
			ctx := context.Background()
			for i := 0; b.Loop(); i++ {
				if _, err := inv.Invoke(ctx, requests[i%spread]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	// parallel does the same from every core.
	parallel := func(inv faas.Invoker, spread int) func(*testing.B) {
		return func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				for i := 0; pb.Next(); i++ {
					if _, err := inv.Invoke(ctx, requests[i%spread]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	var ratio, allocs, scaleOne, scaleMany, nanos, baseScale []float64
	for range 5 {
		product, baseline := testing.Benchmark(serial(p.Router, 1)), testing.Benchmark(serial(base, 1))
		productMany := testing.Benchmark(serial(p.Router, warmFunctions))
		parallelOne, parallelMany := testing.Benchmark(parallel(p.Router, 1)), testing.Benchmark(parallel(p.Router, warmFunctions))
		baseMany := testing.Benchmark(parallel(base, 1))
		nanos = append(nanos, perOp(product))
		ratio = append(ratio, perOp(product)/perOp(baseline))
		allocs = append(allocs, float64(product.MemAllocs)/float64(product.N))
		scaleOne = append(scaleOne, perOp(product)/perOp(parallelOne))
		scaleMany = append(scaleMany, perOp(productMany)/perOp(parallelMany))
		baseScale = append(baseScale, perOp(baseline)/perOp(baseMany))
	}
	return []Figure{
		{Name: "warm-memory-latency", Value: median(nanos), Unit: "ns/call"},
		{Name: "warm-memory-ratio", Value: median(ratio), Unit: "x-of-dispatcher", Op: "<=", Bound: 2},
		{Name: "warm-memory-allocs", Value: float64(int(median(allocs))), Unit: "allocs/call", Op: "<=", Bound: 0},
		{Name: "warm-memory-scale-one", Value: median(scaleOne), Unit: "x-on-all-cores", Op: ">=", Bound: 1.7},
		{Name: "warm-memory-scale-many", Value: median(scaleMany), Unit: "x-on-all-cores", Op: ">=", Bound: 1.7},
		{Name: "warm-memory-dispatcher-scale", Value: median(baseScale), Unit: "x-on-all-cores"},
	}, nil
}
