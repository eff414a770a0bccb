package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func benchmark(b *testing.B, name string, p tree, transitions int) {
	f := setUp(b, scripts{name: p}, nil)
	req := named(name)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ref, err := f.Start(b.Context(), req)
			require.NoError(b, err)
			_, err = f.Wait(b.Context(), ref)
			require.NoError(b, err)
		}
	})
	b.ReportMetric(float64(transitions)*float64(b.N)/b.Elapsed().Seconds(), "transitions/s")
}

func BenchmarkSequence5(b *testing.B)   { benchmark(b, "seq", tree{5, false}, 7) }
func BenchmarkParallel100(b *testing.B) { benchmark(b, "par", tree{100, true}, 102) }
