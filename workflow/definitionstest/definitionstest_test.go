package definitionstest

import (
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memdefinitions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, l *workflow.Languages) workflow.Registry {
	r, err := memdefinitions.New(l)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestEveryClausePassesACorrectRegistry(t *testing.T) {
	h := reopening(open, func(*double) {})
	for _, c := range durabilityClauses {
		if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) }); r.Failed() || r.Skipped() {
			t.Errorf("%s fails over a correct double:\n%s", c.name, r.Recorded())
		}
	}
	Run(t, Harness{Open: func(tb testing.TB, l *workflow.Languages) workflow.Registry { return doubleOf(open(tb, l)) }})
}

func TestEveryClauseNoticesABrokenRegistry(t *testing.T) {
	broken := harnesses(open)
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			if len(broken[c.name]) == 0 {
				t.Fatal("no broken double proves this clause")
			}
			for i, h := range broken[c.name] {
				synctest.Test(t, func(t *testing.T) {
					r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) })
					if !r.Failed() {
						t.Errorf("passes broken double %d; it said:\n%s", i, r.Recorded())
					}
				})
			}
		})
		delete(broken, c.name)
	}
	for name := range broken {
		t.Errorf("broken doubles for %q, which is no clause", name)
	}
}
