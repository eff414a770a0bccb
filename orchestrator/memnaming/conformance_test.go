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

func BenchmarkConformance(b *testing.B) { orchestratortest.BenchNaming(b, harness()) }
