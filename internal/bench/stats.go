package main

import (
	"slices"
	"testing"
	"time"
)

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// perOp is a benchmark's time for one operation in nanoseconds.
func perOp(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
