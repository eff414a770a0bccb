// Package kit is what the conformance kits have in common: clauses with names, how they run, and the
// clauses about lists in pages. It imports nothing but the standard library and the root.
//
//	type clause = kit.Clause[Harness]
//
//	var readClauses = []clause{
//		{Name: "get/unknown", Check: func(tb testing.TB, h Harness) { ... }},
//	}
//
//	func Run(t *testing.T, h Harness) {
//		kit.Run(t, readClauses, h.Skip, func(testing.TB) Harness { return h })
//	}
package kit

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/joinery/faas"
)

// Clause is one promise of a contract, and how to check it on a subject H.
type Clause[H any] struct {
	// Name is the subtest's: part of the kit's interface.
	Name string
	// Check fails tb when the subject breaks the promise.
	Check func(tb testing.TB, h H)
}

// Run checks each clause in a subtest of its name, on a subject that is made for it. skip has reasons by names of
// subtests; a name that is none fails t.
func Run[H any](t *testing.T, clauses []Clause[H], skip map[string]string, subject func(tb testing.TB) H) {
	known := make(map[string]bool)
	for _, c := range clauses {
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			if reason, ok := skip[c.Name]; ok {
				t.Skip(reason)
			}
			c.Check(t, subject(t))
		})
	}
	for name := range skip {
		if !known[name] {
			t.Errorf("Harness.Skip names %q, which is no subtest of this kit", name)
		}
	}
}

// Closing closes c at the end, which must work.
func Closing[C io.Closer](tb testing.TB, c C) C {
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("Close at the end: %v", err)
		}
	})
	return c
}

// Ref is the reference that s is.
func Ref(tb testing.TB, s string) faas.Ref {
	tb.Helper()
	r, err := faas.ParseRef(s)
	if err != nil {
		tb.Fatalf("the kit is wrong: %v", err)
	}
	return r
}

// WantClass checks that err is an *faas.Error of the class.
func WantClass(tb testing.TB, err error, class error, format string, args ...any) {
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
