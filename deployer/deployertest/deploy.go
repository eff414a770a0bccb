package deployertest

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
)

var deployClauses = []clause{
	{Name: "deploy/returns-it-ready", Check: func(tb testing.TB, b Bed) {
		inst := deploy(tb, b, b.Echo, nil)
		wantInstances(tb, b, 1)
		wantEcho(tb, inst, b.Echo, "hello")
		wantEcho(tb, inst, b.Echo, "")
		select {
		case <-inst.Done():
			tb.Error("Done is closed while the instance runs")
		default:
		}
		if err := inst.Err(); err != nil {
			tb.Errorf("Err is %v while the instance runs", err)
		}
	}},
	{Name: "deploy/one-instance-each", Check: func(tb testing.TB, b Bed) {
		one, two := deploy(tb, b, b.Echo, nil), deploy(tb, b, b.Echo, nil)
		if one.ID() == "" || one.ID() == two.ID() {
			tb.Errorf("the ids are %q and %q", one.ID(), two.ID())
		}
		wantInstances(tb, b, 2)
		if err := one.Stop(tb.Context()); err != nil {
			tb.Errorf("stop: %v", err)
		}
		wantInstances(tb, b, 1)
		wantEcho(tb, two, b.Echo, "still here")
	}},
	{Name: "deploy/accounts-its-time", Check: func(tb testing.TB, b Bed) {
		t := &faas.Timing{}
		begun := time.Now()
		inst, err := b.Deployer.Deploy(faas.WithTiming(tb.Context(), t), b.Echo, nil)
		took := time.Since(begun)
		if err != nil {
			tb.Fatalf("deploy: %v", err)
		}
		defer inst.Stop(tb.Context())
		if !t.Cold() {
			tb.Errorf("no time is recorded in decide, place, start and init: %s", t.AppendServerTiming(nil))
		}
		if t.Total() > took {
			tb.Errorf("%v are recorded, but the deployment took %v", t.Total(), took)
		}
		for _, p := range []faas.Phase{faas.PhaseQueue, faas.PhaseLookup, faas.PhaseRun} {
			if d := t.Get(p); d != 0 {
				tb.Errorf("%v are recorded as %v, which is not the deployer's", d, p)
			}
		}
	}},
	{Name: "deploy/many-at-once", Check: func(tb testing.TB, b Bed) {
		const n = 12
		instances := make([]faas.Instance, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				inst, err := b.Deployer.Deploy(tb.Context(), b.Echo, nil)
				if err != nil {
					tb.Errorf("deploy: %v", err)
					return
				}
				instances[i] = inst
				wantEcho(tb, inst, b.Echo, inst.ID())
			})
		}
		all.Wait()
		if tb.Failed() {
			return
		}
		ids := make(map[string]bool)
		for _, inst := range instances {
			ids[inst.ID()] = true
		}
		if len(ids) != n {
			tb.Errorf("%d instances have %d ids", n, len(ids))
		}
		wantInstances(tb, b, n)
		for _, inst := range instances {
			all.Go(func() {
				if err := inst.Stop(tb.Context()); err != nil {
					tb.Errorf("stop: %v", err)
				}
			})
		}
		all.Wait()
		wantInstances(tb, b, 0)
	}},
	{Name: "deploy/arguments-stay-as-they-are", Check: func(tb testing.TB, b Bed) {
		fn := b.Echo
		fn.Spec.Env = maps.Clone(fn.Spec.Env)
		fn.Spec.Labels = map[string]string{"owner": "me"}
		env, labels := maps.Clone(fn.Spec.Env), maps.Clone(fn.Spec.Labels)
		o := &deployer.Options{Env: map[string]string{"MORE": "1"}, Labels: map[string]string{"more": "1"}}
		deploy(tb, b, fn, o)
		if !maps.Equal(fn.Spec.Env, env) || !maps.Equal(fn.Spec.Labels, labels) || len(o.Env) != 1 || len(o.Labels) != 1 {
			tb.Errorf("the function is now %+v, the options %+v", fn.Spec, o)
		}
	}},
}

var failureClauses = []clause{
	{Name: "failure/invalid", Check: func(tb testing.TB, b Bed) {
		for what, change := range map[string]func(fn *faas.Function, o *deployer.Options){
			"without a name":                  func(fn *faas.Function, _ *deployer.Options) { fn.Ref = faas.Ref{} },
			"without a contract":              func(fn *faas.Function, _ *deployer.Options) { fn.Spec.Contract = "" },
			"without a command":               func(fn *faas.Function, _ *deployer.Options) { fn.Spec.Command = nil },
			"with a negative option":          func(_ *faas.Function, o *deployer.Options) { o.Limits.Memory = -1 },
			"with an option that is no level": func(_ *faas.Function, o *deployer.Options) { o.Isolation = 99 },
			"with a bad environment":          func(_ *faas.Function, o *deployer.Options) { o.Env = map[string]string{"A=B": "c"} },
			"with a constraint that is none": func(_ *faas.Function, o *deployer.Options) {
				o.Constraints = []faas.Constraint{{Field: "zone", Operator: "NEAR"}}
			},
		} {
			fn, o := b.Echo, &deployer.Options{}
			change(&fn, o)
			_ = refused(tb, b, tb.Context(), fn, o, faas.ErrInvalidArgument, "a function "+what)
		}
	}},
	{Name: "failure/nobody-offers-it", Check: func(tb testing.TB, b Bed) {
		fn := b.Echo
		fn.Spec.Contract = "nobody-speaks-this"
		err := refused(tb, b, tb.Context(), fn, nil, faas.ErrUnimplemented, "a contract that no driver offers")
		if err != nil && !strings.Contains(err.Error(), "nobody-speaks-this") {
			tb.Errorf("the error does not say what is lacking: %v", err)
		}
		_ = refused(tb, b, tb.Context(), b.Echo, &deployer.Options{Driver: "nobody"}, faas.ErrUnimplemented, "with a driver that is not offered")
	}},
	{Name: "failure/no-capacity", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Full, "Full")
		begun := time.Now()
		_ = refused(tb, b, tb.Context(), b.Full, nil, faas.ErrExhausted, "more than there is room for")
		if took := time.Since(begun); took > patience {
			tb.Errorf("that there is no room was found out after %v", took)
		}
		deploy(tb, b, b.Echo, nil)
	}},
	{Name: "failure/does-not-start", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Broken, "Broken")
		_ = refused(tb, b, tb.Context(), b.Broken, nil, faas.ErrFunction, "a function that ends before it is ready")
		deploy(tb, b, b.Echo, nil)
	}},
	{Name: "failure/start-timeout", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Hang, "Hang")
		fn := b.Hang
		fn.Spec.StartTimeout = 300 * time.Millisecond
		begun := time.Now()
		_ = refused(tb, b, tb.Context(), fn, nil, faas.ErrTimeout, "a function that never becomes ready")
		if took := time.Since(begun); took > patience {
			tb.Errorf("a start timeout of %v took %v", fn.Spec.StartTimeout, took)
		}
	}},
	{Name: "failure/canceled", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Hang, "Hang")
		ctx, cancel := context.WithCancel(tb.Context())
		defer cancel()
		go func() { // when it has begun
			for late := time.After(patience); b.Instances(tb) == 0; {
				select {
				case <-late:
					tb.Error("the deployment does not begin")
				case <-time.After(5 * time.Millisecond):
					continue
				}
				break
			}
			cancel()
		}()
		_ = refused(tb, b, ctx, b.Hang, nil, faas.ErrCanceled, "and cancel")
		_ = refused(tb, b, ctx, b.Echo, nil, faas.ErrCanceled, "with an ended context")
		deploy(tb, b, b.Echo, nil)
	}},
	{Name: "failure/deadline", Check: func(tb testing.TB, b Bed) {
		need(tb, b.Hang, "Hang")
		ctx, cancel := context.WithTimeout(tb.Context(), 300*time.Millisecond)
		defer cancel()
		_ = refused(tb, b, ctx, b.Hang, nil, faas.ErrTimeout, "beyond the caller's deadline")
	}},
}
