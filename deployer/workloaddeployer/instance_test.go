package workloaddeployer_test

import (
	"context"
	"encoding/json"
	"iter"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/workloaddeployer"
	jrequire "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// flaky is the real resource manager, but for calls that fail.
type flaky struct {
	orchestrator.ResourceManager
	remove  func(id string) error
	cut     chan struct{} // a receive breaks the watch
	reopen  chan struct{} // the watch after it waits for a receive
	watches atomic.Int32
}

func (f *flaky) Remove(ctx context.Context, id string) error {
	if f.remove != nil {
		if err := f.remove(id); err != nil {
			return err
		}
	}
	return f.ResourceManager.Remove(ctx, id)
}

func (f *flaky) Watch(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
	return func(yield func(orchestrator.Status, error) bool) {
		if f.watches.Add(1) > 1 {
			select {
			case f.reopen <- struct{}{}:
			case <-ctx.Done():
			}
		}
		own, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-f.cut:
				cancel()
			case <-own.Done():
			}
		}()
		for s, err := range f.ResourceManager.Watch(own) {
			if err != nil && ctx.Err() == nil {
				err = faas.Errorf("test", "watch", "", faas.ErrUnavailable, "the connection broke")
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// on returns a deployer on the bed's manager made flaky.
func (b *bed) on(t *testing.T, f *flaky) *workloaddeployer.Deployer {
	f.ResourceManager, f.cut, f.reopen = b.manager, make(chan struct{}), make(chan struct{})
	d, err := workloaddeployer.New(workloaddeployer.Config{Resources: f, Connectors: map[string]deployer.Connector{"handler": b.mem}})
	require.NoError(t, err)
	return d
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("waited in vain for " + what)
	}
}

func TestARemovalThatFailsIsTriedAgain(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	var tries atomic.Int32
	d := b.on(t, &flaky{remove: func(string) error {
		if tries.Add(1) < 3 {
			return faas.Errorf("test", "remove", "", faas.ErrUnavailable, "try again")
		}
		return nil
	}})
	inst, err := d.Deploy(t.Context(), function("echo"), nil)
	require.NoError(t, err)
	require.NoError(t, inst.Stop(t.Context()))
	require.EqualValues(t, 3, tries.Load())
	require.Zero(t, b.instances(t))
}

func TestAWatchThatBreaksBeginsAgain(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	f := &flaky{}
	d := b.on(t, f)
	inst, err := d.Deploy(t.Context(), function("echo"), nil)
	require.NoError(t, err)
	f.cut <- struct{}{}
	<-f.reopen // nobody watches: what ends now is found by looking
	f.cut <- struct{}{}
	require.NoError(t, b.manager.Remove(t.Context(), inst.ID()))
	require.Eventually(t, func() bool { return b.instances(t) == 0 }, 30*time.Second, time.Millisecond)
	go func() { // whenever it watches it is cut off, and looks again soon
		for {
			select {
			case <-f.reopen:
			case f.cut <- struct{}{}:
			case <-inst.Done():
				return
			}
		}
	}()
	wait(t, "the end", inst.Done())
	require.ErrorIs(t, inst.Err(), faas.ErrUnavailable)
	require.NoError(t, inst.Stop(t.Context()))
}

func TestAnInstanceThatTheResourceLayerStopsIsUnavailable(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	inst, err := b.deployer.Deploy(t.Context(), function("echo"), nil)
	require.NoError(t, err)
	require.NoError(t, b.manager.Drain(t.Context(), "n1", true))
	wait(t, "the end", inst.Done())
	require.ErrorIs(t, inst.Err(), faas.ErrUnavailable)
	require.ErrorContains(t, inst.Err(), "draining")
	require.NoError(t, inst.Stop(t.Context()))

	_, err = b.deployer.Deploy(t.Context(), function("echo"), nil)
	require.ErrorIs(t, err, faas.ErrExhausted)
	require.ErrorContains(t, err, "draining")
}

func TestWhatCannotBePlacedSaysWhy(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	_, err := b.deployer.Deploy(t.Context(), function("echo"), &deployer.Options{
		Constraints: []faas.Constraint{{Field: "zone", Operator: "IS", Value: "b"}},
	})
	require.ErrorIs(t, err, faas.ErrExhausted)
	require.ErrorContains(t, err, "n1: constraint: zone IS b")
	require.Zero(t, b.instances(t))
}

func TestAManagerThatStopsLosesTheInstances(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	inst, err := b.deployer.Deploy(t.Context(), function("echo"), nil)
	require.NoError(t, err)
	b.stop()
	wait(t, "the end", inst.Done())
	require.ErrorIs(t, inst.Err(), faas.ErrUnavailable)
	require.NoError(t, inst.Stop(t.Context()))
	_, err = b.deployer.Deploy(t.Context(), function("echo"), nil)
	require.ErrorIs(t, err, faas.ErrClosed)
}

func TestAnEndpointThatNobodyCanTalkTo(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	d, err := workloaddeployer.New(workloaddeployer.Config{Resources: b.manager, Connectors: map[string]deployer.Connector{"carrier-pigeon": noConnector{}}})
	require.NoError(t, err)
	_, err = d.Deploy(t.Context(), function("echo"), nil)
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	require.ErrorContains(t, err, `network "handler"`)
	require.NoError(t, d.Shutdown(t.Context()))
	require.Zero(t, b.instances(t))
}

// The id is short and valid however long the name is, and the environment is Knative's.
func TestWhatTheFunctionSees(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	jrequire.Engine(t, "procdriver", b.proc, "processes cannot be driven on this machine")
	fn := program(t)
	fn.Ref.Name = strings.Repeat("long-", 12) + "er" // a '-' would be the last before the tail
	fn.Spec.Env = map[string]string{"MINE": "1", "K_SERVICE": "not me"}
	inst, err := b.deployer.Deploy(t.Context(), fn, &deployer.Options{Env: map[string]string{"YOURS": "2"}})
	require.NoError(t, err)
	require.NoError(t, faas.ValidateName("id", inst.ID()))
	require.True(t, strings.HasPrefix(inst.ID(), "long-long-"), inst.ID())
	require.NotContains(t, inst.ID(), "--")
	resp, err := inst.Invoke(t.Context(), &faas.Request{Function: fn.Ref, Path: "/env"})
	require.NoError(t, err)
	body, err := resp.Body.ReadAll(1 << 20)
	require.NoError(t, err)
	var env map[string]string
	require.NoError(t, json.Unmarshal(body, &env))
	require.Equal(t, fn.Ref.Name, env["K_SERVICE"])
	require.Equal(t, fn.Ref.Name, env["K_CONFIGURATION"])
	require.Equal(t, fn.Ref.Name+"-1", env["K_REVISION"])
	require.Equal(t, "12", env["MINE"]+env["YOURS"])
}

func TestOneGoroutineForAllInstances(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	const n = 200
	instances := make([]faas.Instance, n)
	var all sync.WaitGroup
	before := runtime.NumGoroutine()
	for i := range instances {
		all.Go(func() {
			var err error
			if instances[i], err = b.deployer.Deploy(context.Background(), function("echo"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Less(t, runtime.NumGoroutine()-before, n/2)
	for _, inst := range instances {
		all.Go(func() { _ = inst.Stop(context.Background()) })
	}
	all.Wait()
	require.Zero(t, b.instances(t))
}

// still is a connector whose calls allocate nothing.
type still struct{ resp faas.Response }

func (s *still) Connect(context.Context, faas.Function, driver.Endpoint) (faas.InvokeCloser, error) {
	return s, nil
}
func (s *still) Close() error { return nil }
func (s *still) Invoke(context.Context, *faas.Request) (*faas.Response, error) {
	return &s.resp, nil
}

func TestInvokeAllocatesNothing(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	d, err := workloaddeployer.New(workloaddeployer.Config{Resources: b.manager, Connectors: map[string]deployer.Connector{"handler": &still{}}})
	require.NoError(t, err)
	inst, err := d.Deploy(t.Context(), function("echo"), nil)
	require.NoError(t, err)
	ctx, req := t.Context(), &faas.Request{}
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = inst.Invoke(ctx, req) }))
	require.NoError(t, d.Shutdown(t.Context()))
}

// BenchmarkInvoke shows what an instance adds to its connection.
func BenchmarkInvoke(b *testing.B) {
	bed := newBed(b, workloaddeployer.Defaults{})
	conn := &still{}
	d, err := workloaddeployer.New(workloaddeployer.Config{Resources: bed.manager, Connectors: map[string]deployer.Connector{"handler": conn}})
	require.NoError(b, err)
	inst, err := d.Deploy(b.Context(), function("echo"), nil)
	require.NoError(b, err)
	defer d.Shutdown(context.Background())
	ctx, req := b.Context(), &faas.Request{}
	for name, inv := range map[string]faas.Invoker{"connection": conn, "instance": inst} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = inv.Invoke(ctx, req)
			}
		})
	}
}
