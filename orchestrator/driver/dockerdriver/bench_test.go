package dockerdriver_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

// BenchmarkParallel measures 16 starts at once, the removals not.
func BenchmarkParallel(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := open(b, dockerdriver.Options{Parallel: n})
			for b.Loop() {
				var wg sync.WaitGroup
				for k := range 16 {
					wg.Go(func() {
						_, err := d.Start(ctx(b), task(b, fmt.Sprint("i", k), faas.ContractSocket))
						require.NoError(b, err)
					})
				}
				wg.Wait()
				b.StopTimer()
				for k := range 16 {
					wg.Go(func() { require.NoError(b, d.Stop(ctx(b), fmt.Sprint("i", k), 0)) })
				}
				wg.Wait()
				b.StartTimer()
			}
		})
	}
}
