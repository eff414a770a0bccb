// Package registrytest is the conformance kit of package registry: one named subtest for
// each promise of [registry.Registry] (Run) and of [registry.CodeStore] (RunCode). Every
// implementation, ours or anyone's, runs it:
//
//	func TestConformance(t *testing.T) {
//		registrytest.Run(t, registrytest.Harness{
//			Open: func(tb testing.TB) registry.Registry { return memregistry.New(nil) },
//		})
//	}
//
// It needs nothing but the standard library and the contract. The kit closes what it
// opened. Subtest names are part of its interface: they are the keys of Harness.Skip.
package registrytest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// Harness makes the registries that Run tests.
type Harness struct {
	// Open returns a new and empty registry. Required.
	Open func(tb testing.TB) registry.Registry
	// Reopen closes a registry and opens its stored state again. Nil: the registry is not durable,
	// and the durability clauses are skipped.
	Reopen func(tb testing.TB, r registry.Registry) registry.Registry
	// History is the number of changes that an opened registry keeps for Watch at most. Zero:
	// not known, and the clause that needs it is skipped. 500 is enough for all clauses, and quick.
	History int
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// patience bounds every wait for something that must happen. It is generous because
// passing never takes it.
const patience = 30 * time.Second

type clause = kit.Clause[Harness]

var clauses = slices.Concat(publishClauses, swapClauses, aliasClauses, getClauses, listClauses,
	deleteClauses, watchClauses, nameClauses, concurrencyClauses, lifecycleClauses, durabilityClauses)

// Run tests every promise of a registry.Registry.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("registrytest: Harness.Open is required")
	}
	kit.Run(t, clauses, h.Skip, func(testing.TB) Harness { return h })
}

func (h Harness) open(tb testing.TB) registry.Registry {
	tb.Helper()
	return kit.Closing(tb, h.Open(tb))
}

// within returns a context that ends when a wait has taken too long.
func within(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// sampleSpec is a valid spec that tells n.
func sampleSpec(n int) faas.Spec {
	return faas.Spec{
		Contract:    faas.ContractHTTP,
		Code:        faas.Digest(fmt.Sprintf("sha256:%064x", n)),
		Image:       "registry.example:5000/team/base:1",
		Command:     []string{"./run", fmt.Sprint(n), "", "grüße <&> \u2028"},
		Env:         map[string]string{"N": fmt.Sprint(n), "EMPTY": ""},
		Requests:    faas.Resources{MilliCPU: 1, Memory: 2, Pids: 3, Files: 4, FileSize: 5},
		Limits:      faas.Resources{MilliCPU: 6, Memory: 1 << 40, Pids: 8, Files: 9, FileSize: 10},
		Isolation:   faas.IsolationProcess,
		Driver:      "proc",
		Constraints: []faas.Constraint{{Field: "hostname", Operator: "UNIQUE"}, {Field: "zone", Operator: "LIKE", Value: "a.*"}},
		Concurrency: 7,
		Timeout:     time.Minute, StartTimeout: time.Second, Grace: time.Nanosecond,
		Scale:  faas.Scale{Min: 1, Max: 9, Initial: 2, Target: 0.7, KeepAlive: time.Hour},
		Labels: map[string]string{"team": "a", "n": fmt.Sprint(n)},
	}
}

// publish publishes sampleSpec(n) under a name, which must work.
func publish(tb testing.TB, r registry.Registry, name string, n int) faas.Function {
	tb.Helper()
	fn, err := r.Publish(tb.Context(), kit.Ref(tb, name), sampleSpec(n), nil)
	if err != nil {
		tb.Fatalf("Publish(%s): %v", name, err)
	}
	return fn
}

func get(tb testing.TB, r registry.Registry, name string) faas.Function {
	tb.Helper()
	fn, err := r.Get(tb.Context(), kit.Ref(tb, name))
	if err != nil {
		tb.Fatalf("Get(%s): %v", name, err)
	}
	return fn
}

func setAlias(tb testing.TB, r registry.Registry, name, target string) registry.Alias {
	tb.Helper()
	a, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, name), Target: target}, nil)
	if err != nil {
		tb.Fatalf("SetAlias(%s, %s): %v", name, target, err)
	}
	return a
}

func remove(tb testing.TB, r registry.Registry, name string) {
	tb.Helper()
	if err := r.Delete(tb.Context(), kit.Ref(tb, name), nil); err != nil {
		tb.Fatalf("Delete(%s): %v", name, err)
	}
}

// revision is the registry's present one.
func revision(tb testing.TB, r registry.Registry) faas.Revision {
	tb.Helper()
	page, err := r.List(tb.Context(), registry.Query{Limit: 1})
	if err != nil {
		tb.Fatalf("List: %v", err)
	}
	return page.Revision
}

// wantSame checks that two records are the same, the time zone of Created aside.
func wantSame(tb testing.TB, what string, got, want faas.Function) {
	tb.Helper()
	kit.WantSame(tb, what, got, want, func(fn *faas.Function) *time.Time { return &fn.Created })
}

func wantNumber(tb testing.TB, what string, fn faas.Function, version string) {
	tb.Helper()
	kit.WantNumber(tb, what, fn.Ref, version)
}
