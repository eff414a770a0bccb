package main

import (
	"errors"
	"time"

	"github.com/joinery/faas/internal/bench/loop"
	"github.com/joinery/faas/internal/platform"
)

const (
	warmRounds = 7
	warmSlice  = 500 * time.Millisecond
)

// warmProcess measures warm calls to a process, with the router in this process,
// beside a bare net/http client that calls the same process over the same socket.
func warmProcess() ([]Figure, error) {
	p, ref, socket, err := startEcho(platform.Config{})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	product := throughRouter(p, ref)
	baseline, done := overSocket(socket)
	defer done()

	var p50, latency, rate []float64
	for round := range warmRounds + 1 {
		one, err1 := loop.Repeat(product, 1, warmSlice)
		oneBase, err2 := loop.Repeat(baseline, 1, warmSlice)
		many, err3 := loop.Repeat(product, 16, warmSlice)
		manyBase, err4 := loop.Repeat(baseline, 16, warmSlice)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, err
		}
		if round == 0 {
			continue // warm-up
		}
		p50 = append(p50, float64(one.P50.Nanoseconds())/1e3)
		latency = append(latency, float64(one.P50)/float64(oneBase.P50))
		rate = append(rate, many.Rate/manyBase.Rate)
	}
	return []Figure{
		{Name: "warm-process-p50", Value: median(p50), Unit: "us"},
		{Name: "warm-process-p50-ratio", Value: median(latency), Unit: "x-of-net/http", Op: "<=", Bound: 1.15},
		{Name: "warm-process-rate-ratio", Value: median(rate), Unit: "x-of-net/http", Op: ">=", Bound: 0.9},
	}, nil
}
