package keepalive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/autoscalertest"
	"github.com/joinery/faas/autoscaler/keepalive"
)

func harness(keep time.Duration) autoscalertest.Harness {
	return autoscalertest.Harness{
		Policy: func(tb testing.TB) autoscaler.Policy {
			p, err := keepalive.New(keepalive.Config{KeepAlive: keep})
			require.NoError(tb, err)
			return p
		},
		Settle: 10 * time.Second,
		Idle:   keep,
	}
}

func TestConformance(t *testing.T) {
	for _, keep := range []time.Duration{10 * time.Second, time.Minute, keepalive.DefaultKeepAlive} {
		t.Run(keep.String(), func(t *testing.T) { autoscalertest.Run(t, harness(keep)) })
	}
}

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness(time.Minute)
	policy := h.Policy
	h.Policy = func(tb testing.TB) autoscaler.Policy { return wrapped{policy(tb)} }
	autoscalertest.Run(t, h)
}

type wrapped struct{ autoscaler.Policy }

func BenchmarkDecide(b *testing.B) { autoscalertest.Bench(b, harness(time.Minute)) }

func TestConfigIsChecked(t *testing.T) {
	_, err := keepalive.New(keepalive.Config{KeepAlive: -1})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
}

// The extra instances of a burst go one keep-alive after the burst, the last one after the last request.
func TestExpiryIsThatOfThePool(t *testing.T) {
	p := harness(time.Minute).Policy(t)
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := autoscaler.Samples{Concurrency: 2}
	for second, demand := range []struct{ from, concurrency, want float64 }{
		0: {0, 9, 5}, 1: {1, 3, 5}, 2: {59, 0.2, 5}, 3: {60, 0.2, 2}, 4: {61, 0, 1}, 5: {119, 0, 1}, 6: {120, 0, 0},
	} {
		now := at.Add(time.Duration(demand.from) * time.Second)
		s.History = append(s.History, autoscaler.Point{Time: now, Concurrency: demand.concurrency})
		d := p.Decide(now, s)
		assert.Equal(t, int(demand.want), d.Instances, "step %d: %s", second, d.Why)
		s.State, s.Ready = d.State, d.Instances
	}
}

func TestFunctionsOwnKeepAlive(t *testing.T) {
	p := harness(time.Hour).Policy(t)
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := autoscaler.Samples{Concurrency: 1, Scale: faas.Scale{KeepAlive: 3 * time.Second},
		History: []autoscaler.Point{{Time: at, Arrivals: 1}}}
	for _, c := range []struct{ after, want int }{{0, 1}, {2, 1}, {3, 0}} {
		d := p.Decide(at.Add(time.Duration(c.after)*time.Second), s)
		assert.Equal(t, c.want, d.Instances, d.Why)
		s.State = d.State
	}
}
