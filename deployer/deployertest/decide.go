package deployertest

import (
	"context"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
)

func decider(tb testing.TB, b Bed) deployer.Decider {
	tb.Helper()
	d, ok := b.Deployer.(deployer.Decider)
	if !ok {
		tb.Skip("the deployer is no deployer.Decider")
	}
	return d
}

func decide(tb testing.TB, b Bed, fn faas.Function, o *deployer.Options) deployer.Decision {
	tb.Helper()
	d, err := decider(tb, b).Decide(tb.Context(), fn, o)
	if err != nil {
		tb.Fatalf("decide: %v", err)
	}
	return d
}

var decideClauses = []clause{
	{Name: "decide/explains-and-deploys-nothing", Check: func(tb testing.TB, b Bed) {
		d := decide(tb, b, b.Echo, nil)
		if d.Driver == "" || d.Contract != b.Echo.Spec.Contract || len(d.Reasons) == 0 {
			tb.Errorf("the decision is %+v", d)
		}
		if d.Isolation < b.Echo.Spec.Isolation {
			tb.Errorf("the isolation is %v, less than the function's %v", d.Isolation, b.Echo.Spec.Isolation)
		}
		if n := b.Instances(tb); n != 0 {
			tb.Errorf("deciding deployed %d instances", n)
		}
		again := decide(tb, b, b.Echo, &deployer.Options{Driver: d.Driver})
		if again.Driver != d.Driver {
			tb.Errorf("asked for the driver %q, %q was chosen", d.Driver, again.Driver)
		}
	}},
	{Name: "decide/requester-before-function", Check: func(tb testing.TB, b Bed) {
		fn := b.Echo
		fn.Spec.Requests = faas.Resources{MilliCPU: 10, Memory: 1000}
		o := &deployer.Options{Requests: faas.Resources{Memory: 2000, Pids: 3}}
		want := faas.Resources{MilliCPU: 10, Memory: 2000, Pids: 3}
		got := decide(tb, b, fn, o).Requests
		got.Files, got.FileSize = 0, 0 // a default may set them
		if got != want {
			tb.Errorf("the requests are %+v, want %+v", got, want)
		}
		if got := decide(tb, b, fn, nil).Requests; got.MilliCPU != 10 || got.Memory != 1000 {
			tb.Errorf("the requests without options are %+v, want the function's", got)
		}
	}},
	{Name: "decide/isolation-is-only-raised", Check: func(tb testing.TB, b Bed) {
		fn := b.Echo
		fn.Spec.Isolation = faas.IsolationVM
		_, low := decider(tb, b).Decide(tb.Context(), fn, &deployer.Options{Isolation: faas.IsolationNone})
		_, alone := decider(tb, b).Decide(tb.Context(), fn, nil)
		if faas.Class(low) != faas.Class(alone) {
			tb.Errorf("a requester who asks for less isolation changes the outcome from %v to %v", alone, low)
		}
		_, high := decider(tb, b).Decide(tb.Context(), b.Echo, &deployer.Options{Isolation: faas.IsolationVM})
		if faas.Class(high) != faas.Class(alone) {
			tb.Errorf("isolation asked for by the requester: %v, by the function: %v", high, alone)
		}
	}},
	{Name: "decide/refuses-what-deploy-refuses", Check: func(tb testing.TB, b Bed) {
		d := decider(tb, b)
		fn := b.Echo
		fn.Spec.Contract = ""
		_, err := d.Decide(tb.Context(), fn, nil)
		wantClass(tb, err, faas.ErrInvalidArgument, "decide on a function without a contract")
		_, err = d.Decide(tb.Context(), b.Echo, &deployer.Options{Driver: "nobody"})
		wantClass(tb, err, faas.ErrUnimplemented, "decide with a driver that is not offered")
		ctx, cancel := context.WithCancel(tb.Context())
		cancel()
		_, err = d.Decide(ctx, b.Echo, nil)
		wantClass(tb, err, faas.ErrCanceled, "decide with an ended context")
	}},
}

var shutdownClauses = []clause{
	{Name: "shutdown/stops-everything", Check: func(tb testing.TB, b Bed) {
		if b.Shutdown == nil {
			tb.Skip("Bed.Shutdown is not there")
		}
		inst := deploy(tb, b, b.Echo, nil)
		hung := make(chan error, 1)
		if b.Hang.Ref != (faas.Ref{}) {
			go func() {
				_, err := b.Deployer.Deploy(tb.Context(), b.Hang, nil)
				hung <- err
			}()
			wantInstances(tb, b, 2)
		} else {
			hung <- faas.Errorf("", "", "", faas.ErrClosed, "there is none")
		}
		if err := b.Shutdown(tb.Context()); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		wantClass(tb, <-hung, faas.ErrClosed, "a deployment under way")
		wantDone(tb, inst, "Shutdown")
		if n := b.Instances(tb); n != 0 {
			tb.Errorf("%d instances are there when Shutdown has returned", n)
		}
		_, err := b.Deployer.Deploy(tb.Context(), b.Echo, nil)
		wantClass(tb, err, faas.ErrClosed, "deploy after Shutdown")
		if err := b.Shutdown(tb.Context()); err != nil {
			tb.Errorf("a second shutdown: %v", err)
		}
	}},
}
