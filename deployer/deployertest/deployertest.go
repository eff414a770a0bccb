// Package deployertest is the conformance kit of package deployer: one named subtest
// for each promise of [deployer.Deployer], of the [faas.Instance] it returns, and, where
// the deployer has that power, of [deployer.Decider]. Every implementation, ours or
// anyone's, and everything that wraps one, runs it:
//
//	func TestConformance(t *testing.T) {
//		deployertest.Run(t, deployertest.Harness{New: newBed})
//	}
//
// It needs nothing but the standard library and the contracts. Subtest names are part of
// its interface: they are the keys of Harness.Skip.
package deployertest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/internal/kit"
)

// Harness makes what Run tests.
type Harness struct {
	// New returns a deployer and functions for it. What it starts ends with tb's cleanups. Required.
	New func(tb testing.TB) Bed
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// Bed is a deployer and functions that it can deploy. Of a function whose Ref is the
// zero value there is none, and the clauses that need it are skipped.
type Bed struct {
	Deployer deployer.Deployer
	// Instances returns how many instances there are below the deployer, in whatever
	// state. Required.
	Instances func(tb testing.TB) int
	// Echo answers a request with its body. Required.
	Echo faas.Function
	// Exit ends its instance by itself when it is called.
	Exit faas.Function
	// Broken ends by itself before it is ready.
	Broken faas.Function
	// Hang never becomes ready, and has a StartTimeout of a minute or more.
	Hang faas.Function
	// Full asks for more than there is capacity for, and has a StartTimeout of a minute or more.
	Full faas.Function
	// Shutdown ends the deployer for good. Nil: it has no end.
	Shutdown func(ctx context.Context) error
}

// patience bounds every wait for something that must happen. It is generous because
// passing never takes it.
const patience = 30 * time.Second

type clause = kit.Clause[Bed]

func clauses() []clause {
	return slices.Concat(deployClauses, failureClauses, instanceClauses, decideClauses, shutdownClauses)
}

// Run tests every promise of a deployer.
func Run(t *testing.T, h Harness) {
	if h.New == nil {
		t.Fatal("deployertest: Harness.New is required")
	}
	kit.Run(t, clauses(), h.Skip, h.New)
}

// Bench measures what an instance adds to a call, and a deployment.
func Bench(b *testing.B, h Harness) {
	b.Run("invoke", func(b *testing.B) {
		bed := h.New(b)
		inst := deploy(b, bed, bed.Echo, nil)
		req := &faas.Request{Function: bed.Echo.Ref}
		b.ReportAllocs()
		for b.Loop() {
			resp, err := inst.Invoke(b.Context(), req)
			if err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
	b.Run("deploy-and-stop", func(b *testing.B) {
		bed := h.New(b)
		for b.Loop() {
			if err := deploy(b, bed, bed.Echo, nil).Stop(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// need skips the check if the bed does not have the function.
func need(tb testing.TB, fn faas.Function, what string) {
	tb.Helper()
	if fn.Ref == (faas.Ref{}) {
		tb.Skip("Bed." + what + " is not there")
	}
}

func deploy(tb testing.TB, b Bed, fn faas.Function, o *deployer.Options) faas.Instance {
	tb.Helper()
	inst, err := b.Deployer.Deploy(tb.Context(), fn, o)
	if err != nil {
		tb.Fatalf("deploy: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = inst.Stop(ctx)
	})
	return inst
}

func wantClass(tb testing.TB, err, class error, doing string) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Errorf("%s: the error is %v, want one of class %q", doing, err, class)
	}
}

// wantEcho calls the instance.
func wantEcho(tb testing.TB, inst faas.Instance, fn faas.Function, text string) {
	tb.Helper()
	resp, err := inst.Invoke(tb.Context(), &faas.Request{Function: fn.Ref, Body: faas.String(text)})
	if err != nil {
		tb.Errorf("invoke: %v", err)
		return
	}
	if got, err := resp.Body.Text(); err != nil || got != text {
		tb.Errorf("the answer is %q (%v), want %q", got, err, text)
	}
}

// wantInstances waits until there are so many instances.
func wantInstances(tb testing.TB, b Bed, want int) {
	tb.Helper()
	got := -1
	for late := time.After(patience); ; {
		if got = b.Instances(tb); got == want {
			return
		}
		select {
		case <-late:
			tb.Errorf("there are %d instances, want %d", got, want)
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// wantDone waits until the instance has ended.
func wantDone(tb testing.TB, inst faas.Instance, after string) {
	tb.Helper()
	select {
	case <-inst.Done():
	case <-time.After(patience):
		tb.Fatalf("Done is not closed after %s", after)
	}
}

// refused deploys a function that cannot be, and checks the error, and that nothing is left.
func refused(tb testing.TB, b Bed, ctx context.Context, fn faas.Function, o *deployer.Options, class error, what string) error {
	tb.Helper()
	inst, err := b.Deployer.Deploy(ctx, fn, o)
	wantClass(tb, err, class, "deploy "+what)
	if err != nil && inst != nil {
		tb.Errorf("deploy %s: returned an instance with the error", what)
	}
	if inst != nil {
		_ = inst.Stop(context.WithoutCancel(ctx))
	}
	wantInstances(tb, b, 0)
	return err
}
