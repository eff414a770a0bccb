// Package definitionstest is the conformance kit of the workflow registry: one named subtest for
// each promise of [workflow.Registry]. Every implementation, ours or anyone's, runs it:
//
//	func TestConformance(t *testing.T) {
//		definitionstest.Run(t, definitionstest.Harness{
//			Open: func(tb testing.TB, languages *workflow.Languages) workflow.Registry { ... },
//		})
//	}
//
// It needs nothing but the standard library and the contract. The kit closes what it
// opened. Subtest names are part of its interface: they are the keys of Harness.Skip.
package definitionstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// Harness makes the registries that Run tests.
type Harness struct {
	// Open returns a new and empty registry that admits these languages. Required.
	Open func(tb testing.TB, languages *workflow.Languages) workflow.Registry
	// Reopen closes a registry and opens its stored state again. Nil: the registry is not durable,
	// and the durability clauses are skipped.
	Reopen func(tb testing.TB, r workflow.Registry, languages *workflow.Languages) workflow.Registry
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

type clause = kit.Clause[Harness]

func clauses() []clause {
	return slices.Concat(registerClauses, readClauses, listClauses, deleteClauses, lifecycleClauses, durabilityClauses)
}

// Run tests every promise of a workflow.Registry.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("definitionstest: Harness.Open is required")
	}
	kit.Run(t, clauses(), h.Skip, func(testing.TB) Harness { return h })
}

// words is the kit's language: any text is valid unless it has the word "bad" or "missing".
type words struct{}

func (words) Name() string { return "words" }

func (words) Compile(d *workflow.Definition) (workflow.Program, error) {
	var faults workflow.Diagnostics
	for i, word := range strings.Fields(d.Source) {
		switch word {
		case "missing":
			return nil, faas.Errorf("words", "compile", d.Ref.String(), faas.ErrNotFound, "no such code")
		case "bad":
			faults = append(faults, workflow.Diagnostic{Path: fmt.Sprintf("words[%d]", i), Rule: "is bad"})
		}
	}
	return nil, faults.Err()
}

func languages(tb testing.TB) *workflow.Languages {
	tb.Helper()
	l, err := workflow.NewLanguages(words{})
	if err != nil {
		tb.Fatalf("the kit is wrong: %v", err)
	}
	return l
}

func (h Harness) open(tb testing.TB) workflow.Registry {
	tb.Helper()
	return kit.Closing(tb, h.Open(tb, languages(tb)))
}

// sample is a valid definition that tells n.
func sample(tb testing.TB, name string, n int) workflow.Definition {
	return workflow.Definition{
		Ref:        kit.Ref(tb, name),
		Language:   "words",
		Source:     fmt.Sprintf("\r\nnumber %d\n---\n\tgrüße <&> \u2028 \x00 \"'`\n\n", n),
		Durability: workflow.Express,
		Timeout:    time.Hour + 1, Priority: -7, Retention: 1,
	}
}

func register(tb testing.TB, r workflow.Registry, name string, n int) workflow.Definition {
	tb.Helper()
	d, err := r.Register(tb.Context(), sample(tb, name, n))
	if err != nil {
		tb.Fatalf("Register(%s): %v", name, err)
	}
	return d
}

func get(tb testing.TB, r workflow.Registry, name string) workflow.Definition {
	tb.Helper()
	d, err := r.Get(tb.Context(), kit.Ref(tb, name))
	if err != nil {
		tb.Fatalf("Get(%s): %v", name, err)
	}
	return d
}

func remove(tb testing.TB, r workflow.Registry, name string) {
	tb.Helper()
	if err := r.Delete(tb.Context(), kit.Ref(tb, name)); err != nil {
		tb.Fatalf("Delete(%s): %v", name, err)
	}
}

// wantClass checks that err is of the class and says more than that. It need not be an *faas.Error:
// that of a source with faults is workflow.Diagnostics.
func wantClass(tb testing.TB, err error, class error, format string, args ...any) {
	tb.Helper()
	what := fmt.Sprintf(format, args...)
	switch {
	case err == nil:
		tb.Errorf("%s: no error, want %q", what, class)
	case !errors.Is(err, class):
		tb.Errorf("%s: %v: want the class %q", what, err, class)
	case err.Error() == class.Error():
		tb.Errorf("%s: %v: says nothing but the class", what, err)
	}
}

// wantSame checks that two records are the same, the time zone of Created aside.
func wantSame(tb testing.TB, what string, got, want workflow.Definition) {
	tb.Helper()
	kit.WantSame(tb, what, got, want, func(d *workflow.Definition) *time.Time { return &d.Created })
}

func wantNumber(tb testing.TB, what string, d workflow.Definition, version string) {
	tb.Helper()
	kit.WantNumber(tb, what, d.Ref, version)
}
