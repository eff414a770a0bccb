package recordtb

import (
	"testing"
	"testing/synctest"

	"github.com/joinery/faas/internal/kit"
)

// WantNoticed runs each clause over the broken subjects of its name, in virtual time, and fails t for one that
// the clause passes, for a clause that has none, and for a name that is no clause's.
func WantNoticed[H any](t *testing.T, clauses []kit.Clause[H], broken map[string][]H) {
	t.Helper()
	known := make(map[string]bool)
	for _, c := range clauses {
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			if len(broken[c.Name]) == 0 {
				t.Fatal("no broken double proves this clause")
			}
			for i, h := range broken[c.Name] {
				synctest.Test(t, func(t *testing.T) {
					if r := Run(t, func(tb testing.TB) { c.Check(tb, h) }); !r.Failed() {
						t.Errorf("passes broken double %d; it said:\n%s", i, r.Recorded())
					}
				})
			}
		})
	}
	for name := range broken {
		if !known[name] {
			t.Errorf("broken doubles for %q, which is no clause", name)
		}
	}
}

// WantPassed runs each clause over a correct subject and fails t for one that fails it or skips itself.
func WantPassed[H any](t *testing.T, clauses []kit.Clause[H], h H) {
	t.Helper()
	for _, c := range clauses {
		if r := Run(t, func(tb testing.TB) { c.Check(tb, h) }); r.Failed() || r.Skipped() {
			t.Errorf("%s fails over a correct double:\n%s", c.Name, r.Recorded())
		}
	}
}
