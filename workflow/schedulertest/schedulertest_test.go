package schedulertest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/joinery/faas/internal/recordtb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryClausePassesACorrectScheduler(t *testing.T) { Run(t, spoiled(func(*double) {})) }

func TestEveryClauseNoticesABrokenScheduler(t *testing.T) {
	recordtb.WantNoticed(t, clauses(), broken())
}
