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
	recordtb.WantNoticed(t, clauses(), broken)
}

func TestEveryClausePassesACorrectStore(t *testing.T) {
	recordtb.WantPassed(t, clauses(), durable(func(*double) {}))
}
