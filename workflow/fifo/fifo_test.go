package fifo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/schedulertest"
)

var harness = schedulertest.Harness{New: func(_ testing.TB, l schedulertest.Limits) workflow.Scheduler {
	return fifo.New(&fifo.Options{Limit: l.Steps, Pools: l.Pools})
}}

func TestConformance(t *testing.T) { schedulertest.Run(t, harness) }

func BenchmarkScheduler(b *testing.B) { schedulertest.Bench(b, harness) }

func TestNoAllocationPerStep(t *testing.T) {
	s := fifo.New(&fifo.Options{Limit: 8, Pools: map[string]int{"p": 4}})
	steps := make([]workflow.ReadyStep, 64)
	var d workflow.Decision
	var now time.Time
	round := func() {
		for i := range steps {
			steps[i] = workflow.ReadyStep{Slots: 1, Pool: []string{"", "p"}[i%2]}
			s.Ready(now, &steps[i])
		}
		for s.Next(now, &d); len(d.Run) > 0; s.Next(now, &d) {
			for _, step := range d.Run {
				s.Done(now, step, workflow.StepRecord{})
			}
			d.Run = d.Run[:0]
		}
	}
	assert.Zero(t, testing.AllocsPerRun(100, round))
}
