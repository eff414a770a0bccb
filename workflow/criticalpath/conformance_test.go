package criticalpath_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/schedulertest"
)

var harness = schedulertest.Harness{Priorities: true, Prewarms: true, New: func(tb testing.TB, l schedulertest.Limits) workflow.Scheduler {
	s, err := criticalpath.New(criticalpath.Config{Limit: l.Steps, Pools: l.Pools})
	require.NoError(tb, err)
	return s
}}

func TestConformance(t *testing.T) { schedulertest.Run(t, harness) }

func BenchmarkScheduler(b *testing.B) { schedulertest.Bench(b, harness) }

func TestConformanceWithRetryBudget(t *testing.T) {
	schedulertest.Run(t, schedulertest.Harness{Priorities: true, New: func(tb testing.TB, l schedulertest.Limits) workflow.Scheduler {
		s, err := criticalpath.New(criticalpath.Config{Limit: l.Steps, Pools: l.Pools, Retries: criticalpath.Budget{PerSecond: 0.3, Burst: 1}, Sure: 2})
		require.NoError(tb, err)
		return s
	}})
}
