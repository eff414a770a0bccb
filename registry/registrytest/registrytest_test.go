package registrytest

import (
	"maps"
	"testing"

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
	recordtb.WantNoticed(t, clauses, broken())
}

func TestEveryClausePassesACorrectRegistry(t *testing.T) {
	recordtb.WantPassed(t, durabilityClauses, durable(func(*double) {}))
	Run(t, Harness{History: testHistory, Open: func(testing.TB) registry.Registry {
		return doubleOf(memregistry.New(&memregistry.Options{History: testHistory}))
	}})
}
