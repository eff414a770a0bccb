package storetest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryClauseNoticesABrokenStore(t *testing.T) {
	broken := make(map[string][]Harness)
	for _, doubles := range []map[string][]func(*double){brokenWrites, brokenReads, brokenLists} {
		for name, spoilers := range doubles {
			for _, spoil := range spoilers {
				broken[name] = append(broken[name], Harness{Open: func(testing.TB) workflow.Store {
					d := doubleOf(memstore.New(nil))
					spoil(d)
					return d
				}})
			}
		}
	}
	for name, spoilers := range brokenDisks {
		for _, spoil := range spoilers {
			broken[name] = append(broken[name], durable(spoil))
		}
	}
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

func TestEveryClausePassesACorrectStore(t *testing.T) {
	h := durable(func(*double) {})
	for _, c := range clauses() {
		if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) }); r.Failed() || r.Skipped() {
			t.Errorf("%s fails over a correct double:\n%s", c.name, r.Recorded())
		}
	}
}
