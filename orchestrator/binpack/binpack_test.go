package binpack_test

import (
	"testing"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/binpack"
	"github.com/joinery/faas/orchestrator/orchestratortest"
)

var harness = orchestratortest.SchedulerHarness{New: func(testing.TB) orchestrator.Scheduler { return binpack.New() }}

func TestConformance(t *testing.T) { orchestratortest.RunScheduler(t, harness) }

func BenchmarkConformance(b *testing.B) { orchestratortest.BenchScheduler(b, harness) }
