package main

import (
	"testing"
	"time"

	"github.com/joinery/faas/internal/bench/loop"
)

type load = loop.Load

func median(v []float64) float64 { return loop.Median(v) }

// perOp is a benchmark's time for one operation in nanoseconds.
func perOp(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
