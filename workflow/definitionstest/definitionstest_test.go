package definitionstest

import (
	"testing"

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
	recordtb.WantPassed(t, durabilityClauses, reopening(open, func(*double) {}))
	Run(t, Harness{Open: func(tb testing.TB, l *workflow.Languages) workflow.Registry { return doubleOf(open(tb, l)) }})
}

func TestEveryClauseNoticesABrokenRegistry(t *testing.T) {
	recordtb.WantNoticed(t, clauses(), harnesses(open))
}
