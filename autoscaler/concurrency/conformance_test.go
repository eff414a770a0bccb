package concurrency_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/autoscalertest"
	"github.com/joinery/faas/autoscaler/concurrency"
)

func harness(cfg concurrency.Config) autoscalertest.Harness {
	return autoscalertest.Harness{
		Policy: func(tb testing.TB) autoscaler.Policy { return policy(tb, cfg) },
		Settle: 3 * time.Minute,
		Idle:   5*time.Minute + 10*cfg.ScaleDownDelay, // each halving waits for the delay
	}
}

func policy(tb testing.TB, cfg concurrency.Config) *concurrency.Policy {
	p, err := concurrency.New(cfg)
	require.NoError(tb, err)
	return p
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]concurrency.Config{
		"defaults": {},
		"all":      {ScaleDownDelay: 30 * time.Second, ActivationScale: 3, LastInstanceRetention: time.Minute, StableWindow: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) { autoscalertest.Run(t, harness(cfg)) })
	}
}

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness(concurrency.Config{})
	policy := h.Policy
	h.Policy = func(tb testing.TB) autoscaler.Policy { return wrapped{policy(tb)} }
	autoscalertest.Run(t, h)
}

type wrapped struct{ autoscaler.Policy }

func BenchmarkDecide(b *testing.B) { autoscalertest.Bench(b, harness(concurrency.Config{})) }
