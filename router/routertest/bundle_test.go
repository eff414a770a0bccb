package routertest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router"
)

// The doubles that need more than one method of a router replaced.

// bundle hides n instances behind one and binds every request to the next in turn at once, free or not.
func bundle(n int) opener {
	return func(tb testing.TB, c Config) router.Router {
		inner := c.Resolver
		c.Resolver = resolver(func(ctx context.Context, ref faas.Ref) (faas.Function, error) {
			fn, err := inner.Get(ctx, ref)
			fn.Spec.Concurrency = n * fn.Spec.MaxPerInstance()
			fn.Spec.Scale.Max = 1
			return fn, err
		})
		c.Deployer = deploys{c.Deployer, func(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
			fn.Spec.Concurrency /= n
			b := &bundled{done: make(chan struct{})}
			for range n {
				inst, err := inner.Deploy(ctx, fn, nil)
				if err != nil {
					return nil, errors.Join(err, b.Stop(context.WithoutCancel(ctx)))
				}
				b.parts = append(b.parts, inst)
				b.slots = append(b.slots, make(chan struct{}, fn.Spec.Concurrency))
			}
			return b, nil
		}}
		r := open(tb, c)
		return &double{Router: r, scale: func(ctx context.Context, ref faas.Ref, want int, why string) error {
			return r.Scale(ctx, ref, (want+n-1)/n, why)
		}}
	}
}

type bundled struct {
	parts []faas.Instance
	slots []chan struct{}
	next  atomic.Int64
	done  chan struct{}
	once  sync.Once
}

func (b *bundled) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	i := int(b.next.Add(1)) % len(b.parts)
	select {
	case b.slots[i] <- struct{}{}:
	case <-ctx.Done():
		return nil, faas.ContextError(ctx, "double", "invoke", "")
	}
	defer func() { <-b.slots[i] }()
	return b.parts[i].Invoke(ctx, req)
}
func (b *bundled) ID() string            { return "bundle" }
func (b *bundled) Done() <-chan struct{} { return b.done }
func (b *bundled) Err() error            { return nil }
func (b *bundled) Stop(ctx context.Context) error {
	for _, p := range b.parts {
		_ = p.Stop(ctx)
	}
	b.once.Do(func() { close(b.done) })
	return nil
}

// hasty stops instances without draining them when the scale goes down.
func hasty(tb testing.TB, c Config) router.Router {
	var mu sync.Mutex
	var insts []faas.Instance
	inner := c.Deployer
	c.Deployer = deploys{inner, func(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
		inst, err := inner.Deploy(ctx, fn, nil)
		if err == nil {
			mu.Lock()
			insts = append(insts, inst)
			mu.Unlock()
		}
		return inst, err
	}}
	d := &double{Router: open(tb, c)}
	d.scale = func(ctx context.Context, fn faas.Ref, n int, why string) error {
		mu.Lock()
		for len(insts) > n {
			_ = insts[0].Stop(ctx)
			insts = insts[1:]
		}
		mu.Unlock()
		return d.Router.Scale(ctx, fn, n, why)
	}
	return d
}

// stack serves whoever came last first.
func stack(tb testing.TB, c Config) router.Router {
	var mu sync.Mutex
	busy := false
	var waiting []chan struct{}
	d := &double{Router: open(tb, c)}
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		mu.Lock()
		if busy {
			turn := make(chan struct{})
			waiting = append(waiting, turn)
			mu.Unlock()
			<-turn
			mu.Lock()
		}
		busy = true
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			if n := len(waiting); n > 0 {
				close(waiting[n-1])
				waiting = waiting[:n-1]
			} else {
				busy = false
			}
		}()
		return d.Router.Invoke(ctx, req)
	}
	d.loads = func(l *router.Load) {
		mu.Lock()
		defer mu.Unlock()
		l.Queued += len(waiting)
	}
	return d
}
