package cluster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/orchestratortest"
)

// BenchmarkColdStart is the path Apply, placed, assigned, started, running seen in Watch,
// with a driver that takes no time.
func BenchmarkColdStart(b *testing.B) {
	l := &layer{drivers: func(tb testing.TB) driver.Driver { return memDriver(tb) }}
	b.ReportAllocs()
	orchestratortest.BenchManager(b, orchestratortest.ManagerHarness{Open: l.open, Workload: behave})
}

// BenchmarkBurst is the time per start of n starts at once.
func BenchmarkBurst(b *testing.B) {
	for _, n := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := memnaming.New(nil)
			defer names.Close()
			d := memDriver(b)
			m, stopManager := startManager(b, names)
			_, stopAgent := startAgent(b, names, orchestrator.Node{Name: "n1"}, d)
			defer stopManager()
			defer stopAgent()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			seen := watchAll(ctx, m)
			round := 0
			for b.Loop() {
				round++
				for i := range n {
					apply(b, m, fmt.Sprintf("r%d-i%d", round, i))
				}
				for running := 0; running < n; {
					if s := <-seen; s.Phase == orchestrator.PhaseRunning {
						running++
					}
				}
				b.StopTimer()
				for i := range n {
					require.NoError(b, m.Remove(ctx, fmt.Sprintf("r%d-i%d", round, i)))
				}
				for gone := 0; gone < n; {
					if s := <-seen; s.Phase == orchestrator.PhaseGone {
						gone++
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/start")
		})
	}
}

func apply(tb testing.TB, m orchestrator.ResourceManager, id string) string {
	require.NoError(tb, m.Apply(context.Background(), handler(id)))
	return id
}

// watchAll passes on what a Watch yields.
func watchAll(ctx context.Context, m orchestrator.ResourceManager) <-chan orchestrator.Status {
	seen := make(chan orchestrator.Status)
	go func() {
		defer close(seen)
		for s, err := range m.Watch(ctx) {
			if err != nil {
				return
			}
			select {
			case seen <- s:
			case <-ctx.Done():
			}
		}
	}()
	return seen
}

func waitFor(seen <-chan orchestrator.Status, id string, p orchestrator.Phase) {
	for s := range seen {
		if s.ID == id && s.Phase == p {
			return
		}
	}
}
