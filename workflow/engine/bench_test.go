package engine_test

import (
	"strconv"
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

// BenchmarkRecover takes up executions that wait.
func BenchmarkRecover(b *testing.B) {
	f := setUp(b, scripts{"w": waiting}, nil)
	const n = 20_000
	for range n {
		_, err := f.Start(b.Context(), named("w"))
		require.NoError(b, err)
	}
	b.ResetTimer()
	for range b.N {
		f.restart(b)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "executions/s")
}

// BenchmarkLongHistory shows that the cost of a step does not depend on how many came before.
func BenchmarkLongHistory(b *testing.B) {
	for _, steps := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(steps), func(b *testing.B) {
			f := setUp(b, scripts{"seq": tree{steps, false}}, nil)
			b.ResetTimer()
			for range b.N {
				f.run(b, named("seq"))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
		})
	}
}
