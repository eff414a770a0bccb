package criticalpath_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/internal/simulation"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/fifo"
)

func newScheduler(t testing.TB, c criticalpath.Config) *criticalpath.Scheduler {
	s, err := criticalpath.New(c)
	require.NoError(t, err)
	return s
}

// Time is virtual, so these comparisons are the same on every machine.

func TestOneExecutionIsFasterThanByFIFO(t *testing.T) {
	var first, learned time.Duration
	for seed := range uint64(20) {
		c := simulation.Config{Workflows: simulation.Generate(seed, 1), Executions: 60, Gap: time.Hour, Slots: 4}
		a, b := simulation.Run(fifo.New(&fifo.Options{Limit: 4}), c), simulation.Run(newScheduler(t, criticalpath.Config{Limit: 4}), c)
		require.Equal(t, a.Steps, b.Steps)
		require.GreaterOrEqual(t, b.Mean, b.Least)
		first, learned = first+a.Mean, learned+b.Mean
	}
	assert.Less(t, float64(learned)/float64(first), 0.96)
}

func TestExecutionsUnderLoadAreFasterThanByFIFO(t *testing.T) {
	c := simulation.Config{Workflows: simulation.Generate(1, 5), Executions: 1500, Gap: 79 * time.Second / 32, Slots: 32}
	a, b := simulation.Run(fifo.New(&fifo.Options{Limit: 32}), c), simulation.Run(newScheduler(t, criticalpath.Config{Limit: 32}), c)
	require.Equal(t, a.Steps, b.Steps)
	t.Log(a, b)
	assert.Less(t, float64(b.Mean)/float64(a.Mean), 0.9)
}

func TestPrewarmingRemovesColdStarts(t *testing.T) {
	c := simulation.Config{Workflows: simulation.Generate(1, 5), Executions: 1000, Gap: 2 * time.Minute, Cold: true, Keep: 30 * time.Second}
	none := simulation.Run(newScheduler(t, criticalpath.Config{Sure: 2}), c)
	with := simulation.Run(newScheduler(t, criticalpath.Config{}), c)
	t.Log(none, with)
	assert.Less(t, float64(with.ColdStarts), 0.25*float64(none.ColdStarts))
	assert.Less(t, with.Mean, none.Mean)
	assert.Less(t, float64(with.Prewarmed), 1.1*float64(none.ColdStarts))
}
