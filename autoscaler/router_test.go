package autoscaler_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/router/memrouter"
)

// instances deploys handlers of half a second that take a while to start.
type instances struct{ started, running atomic.Int64 }

type instance struct {
	id   string
	of   *instances
	once sync.Once
	done chan struct{}
}

func (d *instances) Deploy(ctx context.Context, _ faas.Function, _ *deployer.Options) (faas.Instance, error) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		return nil, faas.ContextError(ctx, "deployer", "deploy", "")
	}
	d.running.Add(1)
	return &instance{id: fmt.Sprint("i", d.started.Add(1)), of: d, done: make(chan struct{})}, nil
}

func (i *instance) Invoke(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
	select {
	case <-time.After(500 * time.Millisecond):
		return &faas.Response{}, nil
	case <-i.done:
		return nil, faas.Errorf("function instance", "invoke", i.id, faas.ErrFunction, "cut")
	case <-ctx.Done():
		return nil, faas.ContextError(ctx, "function instance", "invoke", i.id)
	}
}

func (i *instance) ID() string            { return i.id }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Err() error            { return nil }

func (i *instance) Stop(context.Context) error {
	i.once.Do(func() {
		i.of.running.Add(-1)
		close(i.done)
	})
	return nil
}

// TestWithTheRouter: load comes and goes through a real router; no call fails, the
// standing instance of another function stays, and the rest goes to zero.
func TestWithTheRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, dep := memregistry.New(nil), &instances{}
		for name, sc := range map[string]faas.Scale{"hello": {Max: 30}, "standing": {Min: 1}} {
			_, err := reg.Publish(t.Context(), faas.Ref{Name: name}, function(name, "", 4, sc).Spec, nil)
			require.NoError(t, err)
		}
		r, err := memrouter.New(memrouter.Config{Resolver: reg, Deployer: dep})
		require.NoError(t, err)
		require.NoError(t, r.Start(t.Context()))
		policy := kpa(t, concurrency.Config{})
		l, err := autoscaler.NewLoop(autoscaler.LoopConfig{Source: r, Target: r, Functions: reg,
			Policy: func(faas.Function) autoscaler.Policy { return policy }})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()

		pass(3 * time.Second)
		assert.EqualValues(t, 1, dep.running.Load(), "the standing one")
		var calls sync.WaitGroup
		var most int64
		for second := range 120 {
			clients := []int{0, 100, 20, 60}[second/5%4]
			for range clients {
				calls.Go(func() {
					resp, err := r.Invoke(t.Context(), &faas.Request{Function: faas.Ref{Name: "hello"}})
					if assert.NoError(t, err) {
						assert.NoError(t, resp.Body.Close())
					}
				})
			}
			pass(time.Second)
			most = max(most, dep.running.Load())
		}
		calls.Wait()
		assert.GreaterOrEqual(t, most, int64(10))
		assert.LessOrEqual(t, most, int64(31))
		assert.Less(t, dep.started.Load(), int64(100), "instances are used again: %d starts", dep.started.Load())
		pass(5 * time.Minute)
		assert.EqualValues(t, 1, dep.running.Load(), "all but the standing one are gone")
		assert.NotEmpty(t, l.Decisions(faas.Ref{Name: "hello"}))

		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, r.Shutdown(t.Context()))
		require.NoError(t, reg.Close())
	})
}
