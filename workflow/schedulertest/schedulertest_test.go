package schedulertest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/joinery/faas/internal/recordtb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryClausePassesACorrectScheduler(t *testing.T) { Run(t, spoiled(func(*double) {})) }

func TestEveryClauseNoticesABrokenScheduler(t *testing.T) {
	broken := broken()
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			if len(broken[c.name]) == 0 {
				t.Fatal("no broken double proves this clause")
			}
			for i, h := range broken[c.name] {
				r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) })
				if !r.Failed() {
					t.Errorf("passes broken double %d; it said:\n%s", i, r.Recorded())
				}
			}
		})
		delete(broken, c.name)
	}
	for name := range broken {
		t.Errorf("broken doubles for %q, which is no clause", name)
	}
}
