package binpack_test

import (
	"testing"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/binpack"
	"github.com/joinery/faas/orchestrator/orchestratortest"
)

var harness = orchestratortest.SchedulerHarness{New: func(testing.TB) orchestrator.Scheduler { return binpack.New() }}

func TestConformance(t *testing.T) { orchestratortest.RunScheduler(t, harness) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	orchestratortest.RunScheduler(t, orchestratortest.SchedulerHarness{
		New: func(testing.TB) orchestrator.Scheduler { return wrapped{binpack.New()} },
	})
}

type wrapped struct{ orchestrator.Scheduler }

func BenchmarkConformance(b *testing.B) { orchestratortest.BenchScheduler(b, harness) }
