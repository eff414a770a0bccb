package memrouter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/router"
	"github.com/joinery/faas/router/memrouter"
)

// deployFunc makes a function a Deployer.
type deployFunc func(ctx context.Context, fn faas.Function) (faas.Instance, error)

func (f deployFunc) Deploy(ctx context.Context, fn faas.Function, _ *deployer.Options) (faas.Instance, error) {
	return f(ctx, fn)
}

func open(t testing.TB, c memrouter.Config) *memrouter.Router {
	t.Helper()
	r, err := memrouter.New(c)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return r
}

var hello = faas.Ref{Name: "hello"}

func call(r faas.Invoker) (string, error) {
	resp, err := r.Invoke(context.Background(), &faas.Request{Function: hello})
	if err != nil {
		return "", err
	}
	return resp.Body.Text()
}

func load(r router.Observer) (l router.Load) {
	for l = range r.Loads() {
		return l
	}
	return router.Load{Wanted: -1}
}

func kinds(r *memrouter.Router, kind memrouter.Kind) (evs []memrouter.Event) {
	for _, ev := range r.Events() {
		if ev.Kind == kind {
			evs = append(evs, ev)
		}
	}
	return evs
}

func TestConfigIsValidatedAtOnce(t *testing.T) {
	_, err := memrouter.New(memrouter.Config{QueueDepth: -1, QueueBytes: -1, MaxInstances: -1, EjectAfter: -1, EjectSilent: -1, EjectFor: -1, DrainTimeout: -1, ResolveFor: -1, Events: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Resolver", "Deployer", "QueueDepth", "QueueBytes", "MaxInstances", "EjectAfter", "EjectSilent", "EjectFor", "DrainTimeout", "ResolveFor", "Events"} {
		assert.ErrorContains(t, err, field)
	}
}

func TestStartTwiceIsAConflict(t *testing.T) {
	r := open(t, memrouter.Config{Resolver: table{}, Deployer: &inProcess{handler: echo}})
	require.ErrorIs(t, r.Start(context.Background()), faas.ErrConflict)
}

func TestWarmCallsAllocateNothing(t *testing.T) {
	r := open(t, memrouter.Config{Resolver: table{faas.Spec{Concurrency: 10}}, Deployer: &inProcess{handler: echo}})
	for name, req := range map[string]*faas.Request{
		"plain": {Function: hello},
		"timed": {Function: hello, Timing: &faas.Timing{}},
	} {
		_, err := r.Invoke(context.Background(), req)
		require.NoError(t, err)
		n := testing.AllocsPerRun(1000, func() { _, _ = r.Invoke(context.Background(), req) })
		assert.Less(t, n, 0.1, name) // sync.Pool may be emptied meanwhile, and drops at random under -race
	}
}

// versions answers with the version it runs.
var versions = deployFunc(func(_ context.Context, fn faas.Function) (faas.Instance, error) {
	d := &inProcess{handler: func(context.Context, *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.String(fn.Ref.Version)}, nil
	}}
	return d.Deploy(context.Background(), fn, nil)
})

func TestFollowsTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		reg := memregistry.New(&memregistry.Options{History: 4})
		spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"x"}}
		publish := func() {
			_, err := reg.Publish(ctx, hello, spec, nil)
			require.NoError(t, err)
		}
		publish()
		r := open(t, memrouter.Config{Resolver: reg, Deployer: versions})
		is := func(ref faas.Ref, want string) {
			t.Helper()
			time.Sleep(time.Second) // the change has been seen, also by a watch that had to begin again
			for range 2 {
				resp, err := r.Invoke(ctx, &faas.Request{Function: ref})
				require.NoError(t, err)
				got, _ := resp.Body.Text()
				require.Equal(t, want, got)
			}
		}
		is(hello, "1")
		publish()
		is(hello, "2")

		live := faas.Ref{Name: "hello", Version: "live"}
		for _, v := range []string{"1", "2"} {
			_, err := reg.SetAlias(ctx, registryAlias(live, v), nil)
			require.NoError(t, err)
			is(live, v)
		}

		for range 20 { // more than the registry keeps: the watch has to begin again
			publish()
		}
		is(hello, "22")

		require.NoError(t, reg.Delete(ctx, hello, nil))
		time.Sleep(time.Second)
		_, err := call(r)
		require.ErrorIs(t, err, faas.ErrNotFound)
		for l := range r.Loads() {
			t.Errorf("a deleted function has a load: %+v", l)
		}
		assert.NotEmpty(t, kinds(r, memrouter.Deleted))
	})
}

func TestResolutionsExpireWithoutAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var version atomic.Int64
		version.Store(1)
		r := open(t, memrouter.Config{ResolveFor: time.Second, Deployer: versions, Resolver: resolveFunc(func(ref faas.Ref) (faas.Function, error) {
			ref.Version = fmt.Sprint(version.Load())
			return faas.Function{Ref: ref}, nil
		})})
		got, err := call(r)
		require.NoError(t, err)
		require.Equal(t, "1", got)
		version.Store(2)
		time.Sleep(1100 * time.Millisecond)
		got, err = call(r)
		require.NoError(t, err)
		assert.Equal(t, "2", got)
	})
}

func TestAWrongResolverIsNamed(t *testing.T) {
	r := open(t, memrouter.Config{Deployer: versions, Resolver: resolveFunc(func(ref faas.Ref) (faas.Function, error) {
		ref.Name = "other"
		return faas.Function{Ref: ref}, nil
	})})
	_, err := call(r)
	require.ErrorIs(t, err, faas.ErrInternal)
	assert.ErrorContains(t, err, "other")
}

func TestRequestsOfADeletedFunctionAreToldAndItsInstancesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := memregistry.New(nil)
		_, err := reg.Publish(t.Context(), hello, faas.Spec{Contract: faas.ContractHandler, Command: []string{"x"}, Scale: faas.Scale{Max: 1}}, nil)
		require.NoError(t, err)
		gate := make(chan struct{})
		r := open(t, memrouter.Config{Resolver: reg, Deployer: &inProcess{handler: func(context.Context, *faas.Request) (*faas.Response, error) {
			<-gate
			return answer, nil
		}}})
		errs := make(chan error, 2)
		for range 2 {
			go func() { _, err := call(r); errs <- err }()
			synctest.Wait()
		}
		require.NoError(t, reg.Delete(t.Context(), hello, nil))
		require.ErrorIs(t, <-errs, faas.ErrNotFound, "the one in the queue")
		close(gate)
		require.NoError(t, <-errs, "the one in flight")
		synctest.Wait()
		assert.Equal(t, router.Load{Wanted: -1}, load(r))
		assert.Len(t, kinds(r, memrouter.Ended), 1)
	})
}

func TestAnIdleFunctionIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memrouter.Config{Resolver: table{}, Deployer: &inProcess{handler: echo}})
		for range 3 {
			_, err := call(r)
			require.NoError(t, err)
			require.NoError(t, r.Scale(t.Context(), hello, 0, "idle"))
			synctest.Wait()
			assert.Equal(t, uint64(1), load(r).Arrived)
			time.Sleep(2 * time.Minute)
			assert.Equal(t, router.Load{Wanted: -1}, load(r))
		}
	})
}

func TestAPanicKeepsNoSlot(t *testing.T) {
	r := open(t, memrouter.Config{Resolver: table{faas.Spec{Scale: faas.Scale{Max: 1}}}, Deployer: &inProcess{handler: func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		if req.ID == "panic" {
			panic("the function's own")
		}
		return answer, nil
	}}})
	for range 3 {
		assert.Panics(t, func() { _, _ = r.Invoke(context.Background(), &faas.Request{Function: hello, ID: "panic"}) })
		_, err := call(r)
		require.NoError(t, err)
	}
}

func TestABrokenInstanceIsNamed(t *testing.T) {
	r := open(t, memrouter.Config{Resolver: table{}, Deployer: &inProcess{handler: func(context.Context, *faas.Request) (*faas.Response, error) { return nil, nil }}})
	_, err := call(r)
	require.ErrorIs(t, err, faas.ErrFunction)
	assert.ErrorContains(t, err, "i-1")

	r = open(t, memrouter.Config{Resolver: table{}, Deployer: deployFunc(func(context.Context, faas.Function) (faas.Instance, error) { return nil, nil })})
	_, err = call(r)
	require.ErrorIs(t, err, faas.ErrInternal)
}

// TestScaleToZeroRace is R21: no call fails because the function is scaled to zero at that moment.
func TestScaleToZeroRace(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	r := open(t, memrouter.Config{Resolver: table{faas.Spec{Concurrency: 2, Scale: faas.Scale{Max: 2}}}, Deployer: &inProcess{handler: echo}})
	var failed atomic.Int64
	for range rounds {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := call(r); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			})
		}
		require.NoError(t, r.Scale(context.Background(), hello, 0, "race"))
		wg.Wait()
		if failed.Load() > 0 {
			break
		}
	}
	assert.Zero(t, failed.Load())
}

// TestShutdownUnderLoad is R46: calls end well or are refused, none is cut.
func TestShutdownUnderLoad(t *testing.T) {
	for range 50 {
		var n atomic.Int64
		r, err := memrouter.New(memrouter.Config{Resolver: table{faas.Spec{Concurrency: 2}}, Deployer: &inProcess{handler: func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			if n.Add(1)%5 == 0 {
				return failing(faas.ErrUnavailable)(ctx, req)
			}
			return answer, nil
		}}})
		require.NoError(t, err)
		require.NoError(t, r.Start(context.Background()))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := call(r); errors.Is(err, faas.ErrClosed) {
						return
					} else if err != nil {
						assert.ErrorIs(t, err, faas.ErrUnavailable) // three times in a row
					}
				}
			})
		}
		require.NoError(t, r.Scale(context.Background(), hello, 2, "load"))
		require.NoError(t, r.Shutdown(context.Background()))
		wg.Wait()
	}
}

func TestShutdownDoesNotWaitForADeployerThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r, err := memrouter.New(memrouter.Config{Resolver: table{}, Deployer: deployFunc(func(context.Context, faas.Function) (faas.Instance, error) {
			<-gate
			return nil, errors.New("late")
		})})
		require.NoError(t, err)
		require.NoError(t, r.Start(t.Context()))
		done := make(chan error, 1)
		go func() { _, err := call(r); done <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Shutdown(ctx), faas.ErrTimeout)
		require.ErrorIs(t, <-done, faas.ErrClosed)
		close(gate)
	})
}

func TestEventsKeepTheLast(t *testing.T) {
	r := open(t, memrouter.Config{Resolver: table{}, Deployer: &inProcess{handler: echo}, Events: 5})
	for i := range 20 {
		require.NoError(t, r.Scale(context.Background(), hello, 0, ""))
		require.NoError(t, r.Scale(context.Background(), faas.Ref{Name: fmt.Sprint("f", i)}, 0, fmt.Sprint("why ", i)))
	}
	evs := r.Events()
	require.Len(t, evs, 5)
	for i, ev := range evs {
		assert.Equal(t, fmt.Sprint("why ", 15+i), ev.Why)
		assert.Equal(t, memrouter.Scaled, ev.Kind)
	}
}
