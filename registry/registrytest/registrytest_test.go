package registrytest

import (
	"maps"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testHistory = 400

// broken returns for each clause the harnesses that it must not pass.
func broken() map[string][]Harness {
	all := make(map[string][]Harness)
	doubles := maps.Clone(brokenWrites)
	maps.Copy(doubles, brokenReads)
	for name, spoilers := range doubles {
		for _, spoil := range spoilers {
			all[name] = append(all[name], Harness{History: testHistory, Open: func(testing.TB) registry.Registry {
				d := doubleOf(memregistry.New(&memregistry.Options{History: testHistory}))
				spoil(d)
				return d
			}})
		}
	}
	for name, spoil := range brokenReopens {
		all[name] = append(all[name], durable(spoil))
	}
	return all
}

func TestEveryClauseNoticesABrokenRegistry(t *testing.T) {
	wantNoticed(t, clauses, broken())
}

func TestEveryClausePassesACorrectRegistry(t *testing.T) {
	h := durable(func(*double) {})
	for _, c := range durabilityClauses {
		if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) }); r.Failed() || r.Skipped() {
			t.Errorf("%s fails over a correct double:\n%s", c.name, r.Recorded())
		}
	}
	Run(t, Harness{History: testHistory, Open: func(testing.TB) registry.Registry {
		return doubleOf(memregistry.New(&memregistry.Options{History: testHistory}))
	}})
}

// wantNoticed runs each clause over the broken harnesses of its name, in virtual time, and fails
// for one that the clause passes and for a clause that has none.
func wantNoticed[H any](t *testing.T, clauses []clause[H], broken map[string][]H) {
	for _, c := range clauses {
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
