package memrouter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/router/memrouter"
)

type resolveFunc func(ref faas.Ref) (faas.Function, error)

func (f resolveFunc) Get(_ context.Context, ref faas.Ref) (faas.Function, error) { return f(ref) }

func registryAlias(ref faas.Ref, version string) registry.Alias {
	return registry.Alias{Ref: ref, Target: version}
}

// zoo deploys instances whose manners can be changed while they run.
type zoo struct {
	mu    sync.Mutex
	n     int
	insts map[string]*animal
	fail  error
}

type animal struct {
	local
	do    atomic.Pointer[faas.InvokerFunc] // nil: answers at once
	calls atomic.Int64
}

func (a *animal) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	a.calls.Add(1)
	if do := a.do.Load(); do != nil {
		return (*do)(ctx, req)
	}
	return &faas.Response{Body: faas.String(a.id)}, nil
}

func (a *animal) behave(do faas.InvokerFunc) {
	if do == nil {
		a.do.Store(nil)
		return
	}
	a.do.Store(&do)
}

func (z *zoo) deploy(context.Context, faas.Function) (faas.Instance, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.n++
	if z.fail != nil {
		return nil, z.fail
	}
	a := &animal{local: local{id: fmt.Sprint("i-", z.n), done: make(chan struct{})}}
	if z.insts == nil {
		z.insts = map[string]*animal{}
	}
	z.insts[a.id] = a
	return a, nil
}

func (z *zoo) starts() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.n
}

func failing(class error) faas.InvokerFunc {
	return func(context.Context, *faas.Request) (*faas.Response, error) {
		return nil, faas.Errorf("test", "invoke", "", class, "broken")
	}
}

func hung(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
	<-ctx.Done()
	return nil, faas.ContextError(ctx, "test", "invoke", "")
}

// farm opens a router with n instances of the given concurrency.
func farm(t *testing.T, n int, spec faas.Spec) (*memrouter.Router, *zoo) {
	z := &zoo{}
	r := open(t, memrouter.Config{Resolver: table{spec}, Deployer: deployFunc(z.deploy)})
	require.NoError(t, r.Scale(t.Context(), hello, n, "test"))
	synctest.Wait()
	require.Equal(t, n, load(r).Ready)
	return r, z
}

func TestAFailingInstanceIsEjectedAndComesBack(t *testing.T) {
	for _, class := range []error{faas.ErrUnavailable, faas.ErrFunction} {
		synctest.Test(t, func(t *testing.T) {
			r, z := farm(t, 2, faas.Spec{Concurrency: 10, Scale: faas.Scale{Max: 2}})
			bad := z.insts["i-1"]
			bad.behave(failing(class))
			failed := 0
			for range 100 {
				if _, err := call(r); err != nil {
					require.ErrorIs(t, err, class)
					failed++
				}
			}
			assert.EqualValues(t, memrouter.DefaultEjectAfter, bad.calls.Load(), "it is not picked after that")
			if errors.Is(class, faas.ErrUnavailable) {
				assert.Zero(t, failed, "what did not reach it went to the other one")
			}
			require.Len(t, kinds(r, memrouter.Ejected), 1)
			assert.Equal(t, 1, load(r).Ready)

			time.Sleep(memrouter.DefaultEjectFor + time.Second) // one probe is let in, and fails
			for range 100 {
				_, _ = call(r)
			}
			assert.EqualValues(t, memrouter.DefaultEjectAfter+1, bad.calls.Load())
			require.Len(t, kinds(r, memrouter.Ejected), 2)

			bad.behave(nil)
			time.Sleep(2*memrouter.DefaultEjectFor + time.Second)
			for range 100 {
				_, err := call(r)
				require.NoError(t, err)
			}
			require.Len(t, kinds(r, memrouter.Recovered), 1)
			assert.Equal(t, 2, load(r).Ready)
			assert.Greater(t, bad.calls.Load(), int64(30))
		})
	}
}

// TestAFailingFunctionEjectsNobody: where all instances fail alike, none is to blame.
func TestAFailingFunctionEjectsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 3, faas.Spec{Concurrency: 10})
		for _, a := range z.insts {
			a.behave(failing(faas.ErrFunction))
		}
		for range 300 {
			_, err := call(r)
			require.ErrorIs(t, err, faas.ErrFunction)
		}
		assert.Empty(t, kinds(r, memrouter.Ejected))
		assert.Equal(t, 3, load(r).Ready)
	})
}

func TestAnInstanceThatStaysBrokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 2, faas.Spec{Concurrency: 10, Scale: faas.Scale{Max: 3}})
		bad := z.insts["i-1"]
		bad.behave(failing(faas.ErrUnavailable))
		for range 200 {
			_, err := call(r)
			require.NoError(t, err)
			time.Sleep(50 * time.Millisecond)
		}
		<-bad.done
		require.Len(t, kinds(r, memrouter.Ended), 1)
		assert.Equal(t, 2, load(r).Ready)
		assert.Equal(t, 3, z.starts())
	})
}

// TestHungInstance is R16: one of four instances is stopped in its tracks under load.
func TestHungInstance(t *testing.T) {
	for _, timeout := range []time.Duration{20 * time.Second, time.Second} {
		synctest.Test(t, func(t *testing.T) { hungInstance(t, timeout) })
	}
}

func hungInstance(t *testing.T, timeout time.Duration) {
	r, z := farm(t, 4, faas.Spec{Concurrency: 10, Timeout: timeout})
	for _, a := range z.insts {
		a.behave(func(context.Context, *faas.Request) (*faas.Response, error) {
			time.Sleep(10 * time.Millisecond)
			return answer, nil
		})
	}
	z.insts["i-2"].behave(hung)
	began := time.Now()
	var late, failedLate atomic.Int64
	var wg sync.WaitGroup
	for time.Since(began) < 15*time.Second { // 500 calls each second
		at := time.Since(began)
		wg.Go(func() {
			_, err := call(r)
			if at >= 3*time.Second {
				late.Add(1)
				if err != nil {
					failedLate.Add(1)
				}
			}
		})
		time.Sleep(2 * time.Millisecond)
	}
	ejected := kinds(r, memrouter.Ejected)
	require.NotEmpty(t, ejected)
	assert.Equal(t, "i-2", ejected[0].Instance)
	assert.LessOrEqual(t, ejected[0].Time.Sub(began), 3*time.Second)
	for _, ev := range ejected {
		assert.Equal(t, "i-2", ev.Instance, "the others are well")
	}
	assert.Equal(t, 4, load(r).Ready)
	assert.Equal(t, 5, z.starts())
	for _, ev := range kinds(r, memrouter.Ready) {
		assert.LessOrEqual(t, ev.Time.Sub(began), 10*time.Second, "replaced")
	}
	wg.Wait()
	assert.LessOrEqual(t, failedLate.Load(), late.Load()/1000)
}

// TestLongCallsAreNotHung: an instance with long calls is as well as the others that have them.
func TestLongCallsAreNotHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 4, faas.Spec{Concurrency: 10})
		for _, a := range z.insts {
			a.behave(func(context.Context, *faas.Request) (*faas.Response, error) {
				time.Sleep(30 * time.Second)
				return answer, nil
			})
		}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { _, err := call(r); assert.NoError(t, err) })
			time.Sleep(900 * time.Millisecond)
		}
		wg.Wait()
		assert.Empty(t, kinds(r, memrouter.Ejected))
	})
}

// TestHerdOnABrokenFunction is R20: at most three starts in ten seconds, whatever calls.
func TestHerdOnABrokenFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zoo{fail: faas.Errorf("driver", "start", "x", faas.ErrFunction, "exit status 3")}
		r := open(t, memrouter.Config{Resolver: table{}, Deployer: deployFunc(z.deploy)})
		began := time.Now()
		for time.Since(began) < 10*time.Second {
			_, err := call(r)
			require.ErrorIs(t, err, faas.ErrFunction)
			require.ErrorContains(t, err, "exit status 3")
			var e *faas.Error
			require.ErrorAs(t, err, &e)
			require.Positive(t, e.RetryAfter)
			time.Sleep(20 * time.Millisecond)
		}
		assert.Equal(t, 3, z.starts())
		z.mu.Lock()
		z.fail = nil
		z.mu.Unlock()
		time.Sleep(time.Minute)
		_, err := call(r)
		require.NoError(t, err)
	})
}

// TestCapacityErrorsDoNotFailTheQueue while an instance can serve it.
func TestCapacityErrorsDoNotFailTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 1, faas.Spec{})
		z.insts["i-1"].behave(func(context.Context, *faas.Request) (*faas.Response, error) {
			time.Sleep(time.Second)
			return answer, nil
		})
		z.fail = faas.Errorf("scheduler", "place", "x", faas.ErrExhausted, "no node has room")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, err := call(r); assert.NoError(t, err) })
		}
		wg.Wait()
		assert.LessOrEqual(t, z.starts(), 1+9+3) // at most one for each that waits, then with pauses
		assert.NotEmpty(t, kinds(r, memrouter.StartFailed))
	})
}

// TestInstancesThatDieAtOnceAreNotStartedInALoop although Scale asks for them.
func TestInstancesThatDieAtOnceAreNotStartedInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zoo{}
		r := open(t, memrouter.Config{Resolver: table{}, Deployer: deployFunc(func(ctx context.Context, fn faas.Function) (faas.Instance, error) {
			inst, err := z.deploy(ctx, fn)
			_ = inst.Stop(ctx)
			return inst, err
		})})
		require.NoError(t, r.Scale(t.Context(), hello, 3, "test"))
		time.Sleep(10 * time.Second)
		assert.LessOrEqual(t, z.starts(), 12)
		require.NoError(t, r.Scale(t.Context(), hello, 0, "enough"))
		n := z.starts()
		time.Sleep(time.Hour)
		assert.Equal(t, n, z.starts())
	})
}

func TestADrainedInstanceIsRevivedOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 1, faas.Spec{Concurrency: 2, Scale: faas.Scale{Max: 1}})
		z.insts["i-1"].behave(func(context.Context, *faas.Request) (*faas.Response, error) {
			time.Sleep(time.Second)
			return answer, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, err := call(r); assert.NoError(t, err) })
		synctest.Wait()
		require.NoError(t, r.Scale(t.Context(), hello, 0, "down"))
		require.Equal(t, 1, load(r).Draining)
		_, err := call(r)
		require.NoError(t, err)
		wg.Wait()
		assert.Len(t, kinds(r, memrouter.Revived), 1)
		assert.Equal(t, 1, z.starts())
	})
}

func TestDrainingIsBounded(t *testing.T) {
	for _, timeout := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r, z := farm(t, 1, faas.Spec{Timeout: timeout})
			a := z.insts["i-1"]
			a.behave(func(context.Context, *faas.Request) (*faas.Response, error) {
				<-a.done // deaf to its context
				return nil, faas.Errorf("test", "invoke", "", faas.ErrFunction, "cut")
			})
			done := make(chan error, 1)
			go func() { _, err := call(r); done <- err }()
			synctest.Wait()
			began := time.Now()
			require.NoError(t, r.Scale(t.Context(), hello, 0, "down"))
			require.ErrorIs(t, <-done, faas.ErrFunction)
			if timeout > 0 {
				assert.InDelta(t, timeout.Seconds(), time.Since(began).Seconds(), 2)
			} else {
				assert.Equal(t, memrouter.DefaultDrainTimeout, time.Since(began))
			}
		})
	}
}

func TestColdStartsExplainThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zoo{}
		r := open(t, memrouter.Config{Resolver: table{faas.Spec{Concurrency: 2}}, Deployer: deployFunc(func(ctx context.Context, fn faas.Function) (faas.Instance, error) {
			time.Sleep(30 * time.Millisecond)
			faas.TimingFrom(ctx).Add(faas.PhaseStart, 20*time.Millisecond)
			faas.TimingFrom(ctx).Add(faas.PhaseInit, 10*time.Millisecond)
			return z.deploy(ctx, fn)
		})})
		timings := make([]faas.Timing, 2)
		var wg sync.WaitGroup
		for i := range timings {
			wg.Go(func() {
				_, err := r.Invoke(t.Context(), &faas.Request{Function: hello, Timing: &timings[i]})
				assert.NoError(t, err)
			})
			time.Sleep(25 * time.Millisecond) // the second one comes when only 5 ms are left
		}
		wg.Wait()
		assert.Equal(t, 20*time.Millisecond, timings[0].Get(faas.PhaseStart))
		assert.Equal(t, 10*time.Millisecond, timings[0].Get(faas.PhaseInit))
		assert.Zero(t, timings[0].Get(faas.PhaseQueue))
		assert.Zero(t, timings[1].Get(faas.PhaseStart))
		assert.Equal(t, 5*time.Millisecond, timings[1].Get(faas.PhaseInit))
		ready := kinds(r, memrouter.Ready)
		require.Len(t, ready, 1)
		assert.Equal(t, 30*time.Millisecond, ready[0].Took)
		assert.Equal(t, 20*time.Millisecond, ready[0].Timing.Get(faas.PhaseStart))
		assert.Contains(t, ready[0].Why, "1 waiting, 2 per instance")
	})
}

// TestSlowInstance is R17: an instance that needs 2 s more gets less than 5 % of the load.
func TestSlowInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 4, faas.Spec{Concurrency: 100})
		for id, a := range z.insts {
			a.behave(func(context.Context, *faas.Request) (*faas.Response, error) {
				if id == "i-3" {
					time.Sleep(2 * time.Second)
				}
				time.Sleep(10 * time.Millisecond)
				return answer, nil
			})
		}
		var wg sync.WaitGroup
		const calls = 10_000
		for range calls {
			wg.Go(func() { _, err := call(r); assert.NoError(t, err) })
			time.Sleep(2 * time.Millisecond)
		}
		wg.Wait()
		slow := z.insts["i-3"].calls.Load()
		assert.Less(t, slow, int64(calls/20))
		assert.Positive(t, slow)
	})
}

// TestRequestsAreCountedOnce whatever becomes of them.
func TestRequestsAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, z := farm(t, 3, faas.Spec{Scale: faas.Scale{Max: 3}, Timeout: 50 * time.Millisecond})
		for _, a := range z.insts {
			var n atomic.Int64
			a.behave(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
				switch n.Add(1) % 4 {
				case 0:
					return failing(faas.ErrUnavailable)(ctx, req)
				case 1:
					return failing(faas.ErrFunction)(ctx, req)
				case 2:
					return hung(ctx, req)
				}
				time.Sleep(10 * time.Millisecond)
				return answer, nil
			})
		}
		var wg sync.WaitGroup
		outcomes := map[faas.Outcome]int{}
		var mu sync.Mutex
		const calls = 2000
		for range calls {
			wg.Go(func() {
				resp, err := r.Invoke(t.Context(), &faas.Request{Function: hello})
				mu.Lock()
				defer mu.Unlock()
				outcomes[faas.OutcomeOf(resp, err)]++
			})
			time.Sleep(3 * time.Millisecond)
		}
		wg.Wait()
		l := load(r)
		assert.EqualValues(t, calls, l.Arrived)
		assert.EqualValues(t, calls, l.Completed)
		assert.Zero(t, l.InFlight+l.Queued)
		assert.Positive(t, outcomes[faas.Success])
		assert.Positive(t, outcomes[faas.FunctionError])
		assert.Positive(t, outcomes[faas.FunctionTimeout])
	})
}

// TestOneLongCallIsNotHung: a long call or a long stream among short ones does no harm to its instance.
func TestOneLongCallIsNotHung(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			r, z := farm(t, 3, faas.Spec{Concurrency: concurrency, Scale: faas.Scale{Max: 3}})
			for _, a := range z.insts {
				a.behave(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
					switch req.ID {
					case "long":
						time.Sleep(2 * time.Minute)
					case "stream":
						return &faas.Response{Body: faas.Stream(strings.NewReader("x"), 1)}, nil
					}
					time.Sleep(5 * time.Millisecond)
					return answer, nil
				})
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := r.Invoke(t.Context(), &faas.Request{Function: hello, ID: "long"})
				assert.NoError(t, err)
			})
			wg.Go(func() {
				resp, err := r.Invoke(t.Context(), &faas.Request{Function: hello, ID: "stream"})
				assert.NoError(t, err)
				time.Sleep(time.Minute)
				assert.NoError(t, resp.Body.Close())
			})
			for range 10_000 {
				_, err := call(r)
				require.NoError(t, err)
				time.Sleep(10 * time.Millisecond)
			}
			wg.Wait()
			assert.Empty(t, kinds(r, memrouter.Ejected))
			assert.Equal(t, 3, load(r).Ready)
		})
	}
}
