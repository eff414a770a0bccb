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
// It imports nothing but the standard library and the contract. The kit closes what it
// opened. Subtest names are part of its interface: they are the keys of Harness.Skip.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/joinery/faas"
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

type clause[H any] struct {
	name  string
	check func(tb testing.TB, h H)
}

var clauses = concat(publishClauses, swapClauses, aliasClauses, getClauses, listClauses,
	deleteClauses, watchClauses, nameClauses, concurrencyClauses, lifecycleClauses, durabilityClauses)

func concat(lists ...[]clause[Harness]) (all []clause[Harness]) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Run tests every promise of a registry.Registry.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("registrytest: Harness.Open is required")
	}
	run(t, h, h.Skip, clauses)
}

func run[H any](t *testing.T, h H, skip map[string]string, clauses []clause[H]) {
	known := make(map[string]bool)
	for _, c := range clauses {
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := skip[c.name]; ok {
				t.Skip(reason)
			}
			c.check(t, h)
		})
	}
	for name := range skip {
		if !known[name] {
			t.Errorf("registrytest: Skip names %q, which is no subtest", name)
		}
	}
}

func (h Harness) open(tb testing.TB) registry.Registry {
	tb.Helper()
	r := h.Open(tb)
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Errorf("Close at the end: %v", err)
		}
	})
	return r
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

func ref(tb testing.TB, s string) faas.Ref {
	tb.Helper()
	r, err := faas.ParseRef(s)
	if err != nil {
		tb.Fatalf("the kit is wrong: %v", err)
	}
	return r
}

// publish publishes sampleSpec(n) under a name, which must work.
func publish(tb testing.TB, r registry.Registry, name string, n int) faas.Function {
	tb.Helper()
	fn, err := r.Publish(tb.Context(), ref(tb, name), sampleSpec(n), nil)
	if err != nil {
		tb.Fatalf("Publish(%s): %v", name, err)
	}
	return fn
}

func get(tb testing.TB, r registry.Registry, name string) faas.Function {
	tb.Helper()
	fn, err := r.Get(tb.Context(), ref(tb, name))
	if err != nil {
		tb.Fatalf("Get(%s): %v", name, err)
	}
	return fn
}

func setAlias(tb testing.TB, r registry.Registry, name, target string) registry.Alias {
	tb.Helper()
	a, err := r.SetAlias(tb.Context(), registry.Alias{Ref: ref(tb, name), Target: target}, nil)
	if err != nil {
		tb.Fatalf("SetAlias(%s, %s): %v", name, target, err)
	}
	return a
}

func remove(tb testing.TB, r registry.Registry, name string) {
	tb.Helper()
	if err := r.Delete(tb.Context(), ref(tb, name), nil); err != nil {
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

// wantClass checks that err is an *faas.Error of the class.
func wantClass(tb testing.TB, err error, class error, format string, args ...any) {
	tb.Helper()
	what := fmt.Sprintf(format, args...)
	var e *faas.Error
	switch {
	case err == nil:
		tb.Errorf("%s: no error, want %q", what, class)
	case !errors.Is(err, class):
		tb.Errorf("%s: %v: want the class %q", what, err, class)
	case !errors.As(err, &e):
		tb.Errorf("%s: %v: is a %T, not an *faas.Error", what, err, err)
	}
}

// wantSame checks that two records are the same, the time zone of Created aside.
func wantSame(tb testing.TB, what string, got, want faas.Function) {
	tb.Helper()
	if !got.Created.Equal(want.Created) {
		tb.Errorf("%s: created %v, want %v", what, got.Created, want.Created)
	}
	got.Created = want.Created
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func wantNumber(tb testing.TB, what string, fn faas.Function, version string) {
	tb.Helper()
	if fn.Ref.Version != version {
		tb.Errorf("%s: version %q, want %q", what, fn.Ref.Version, version)
	}
}
