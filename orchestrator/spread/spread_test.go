package spread_test

import (
	"testing"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/orchestratortest"
	"github.com/joinery/faas/orchestrator/spread"
)

var harness = orchestratortest.SchedulerHarness{New: func(testing.TB) orchestrator.Scheduler { return spread.New() }}

func TestConformance(t *testing.T) { orchestratortest.RunScheduler(t, harness) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	orchestratortest.RunScheduler(t, orchestratortest.SchedulerHarness{
		New: func(testing.TB) orchestrator.Scheduler { return wrapped{spread.New()} },
	})
}

type wrapped struct{ orchestrator.Scheduler }

func BenchmarkConformance(b *testing.B) { orchestratortest.BenchScheduler(b, harness) }
