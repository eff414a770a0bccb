//go:build unix

package autoscaler_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
	"github.com/joinery/faas/router"
)

// BenchmarkLoop runs a loop at its default pace for 4 s and reports the share of one
// CPU that the whole process used.
func BenchmarkLoop(b *testing.B) {
	for _, c := range []struct{ idle, busy int }{{0, 0}, {10_000, 0}, {10_000, 100}, {0, 1000}} {
		b.Run(fmt.Sprintf("idle=%d/busy=%d", c.idle, c.busy), func(b *testing.B) {
			cat, s := newCatalogue(b), newStage()
			for i := range c.idle {
				cat.publish(b, s, fmt.Sprint("idle-", i), faas.Scale{})
			}
			for i := range c.busy {
				fn := function(fmt.Sprint("busy-", i), "1", 10, faas.Scale{})
				s.fns[fn.Ref] = fn
				s.update(fn, func(l *router.Load) { l.Ready, l.InFlight = 2, 10 })
			}
			policy := kpa(b, concurrency.Config{})
			var used, elapsed time.Duration
			for b.Loop() {
				l, err := autoscaler.NewLoop(autoscaler.LoopConfig{Source: s, Target: s, Functions: cat,
					Policy: func(faas.Function) autoscaler.Policy { return policy }})
				require.NoError(b, err)
				ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
				begun, cpu := time.Now(), cpuTime(b)
				require.NoError(b, l.Run(ctx))
				used, elapsed = used+cpuTime(b)-cpu, elapsed+time.Since(begun)
				cancel()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(100*used.Seconds()/elapsed.Seconds(), "cpu-%")
		})
	}
}

func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
