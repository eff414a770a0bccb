package memnaming_test

import (
	"testing"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/orchestratortest"
)

func harness() orchestratortest.NamingHarness {
	return orchestratortest.NamingHarness{
		Open: func(testing.TB) orchestrator.NamingService {
			return memnaming.New(&memnaming.Options{History: 500})
		},
		InBubble: true,
		History:  500,
	}
}

func TestConformance(t *testing.T) { orchestratortest.RunNaming(t, harness()) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness()
	open := h.Open
	h.Open = func(tb testing.TB) orchestrator.NamingService { return wrapped{open(tb)} }
	orchestratortest.RunNaming(t, h)
}

type wrapped struct{ orchestrator.NamingService }

func BenchmarkConformance(b *testing.B) { orchestratortest.BenchNaming(b, harness()) }
