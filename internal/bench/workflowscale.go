package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/joinery/faas/internal/bench/flow"
)

// workflowMap measures how the cost of a map grows with its items, in time and in memory.
func workflowMap() (_ []Figure, err error) {
	dir, err := os.MkdirTemp("", "joinery-workflow")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours, err := flow.OpenOurs(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	const few, many = 1_000, 10_000
	ctx := context.Background()
	var figures []Figure
	for _, language := range flow.MapLanguages() {
		timed := func(items int) (float64, error) {
			began := time.Now()
			err := ours.Map(ctx, language, items)
			return time.Since(began).Seconds(), err
		}
		var growth, took, memory []float64
		for round := range 4 {
			// As many items in both: one after the other, and in one map.
			var one float64
			for range many / few {
				t, err := timed(few)
				if err != nil {
					return nil, err
				}
				one += t
			}
			peak := watchLive()
			ten, err := timed(many)
			live := peak()
			if err != nil {
				return nil, err
			}
			if round == 0 {
				continue // warm-up
			}
			growth, took, memory = append(growth, ten/one), append(took, ten), append(memory, live)
		}
		name := "workflow-map-" + language
		figures = append(figures,
			Figure{Name: name + "-linear", Value: median(growth), Unit: "x-per-item-of-1000", Op: "<=", Bound: 1.5},
			Figure{Name: name + "-memory", Value: median(memory), Unit: "MB", Op: "<=", Bound: 64},
			Figure{Name: name + "-rate", Value: many / median(took), Unit: "items/s"})
	}
	return figures, nil
}

// watchLive watches how much more of the heap is live than at first; what it returns ends that, and says the
// most that was, in MiB.
func watchLive() func() float64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	first := sample[0].Value.Uint64()
	end, ended := make(chan struct{}), make(chan float64)
	go func() {
		most := first
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				ended <- float64(most-first) / (1 << 20)
				return
			case <-tick.C:
				metrics.Read(sample)
				most = max(most, sample[0].Value.Uint64())
			}
		}
	}()
	return func() float64 {
		close(end)
		return <-ended
	}
}

// workflowRecovery measures how fast an engine takes up what an earlier one left open, from when the store is
// opened, and how the cost of a step grows with the history before it.
func workflowRecovery() (_ []Figure, err error) {
	dir, err := os.MkdirTemp("", "joinery-workflow")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	const open, long, items = 100_000, 2_000, 100
	// An event for the start of each execution, and one for each item.
	many, err := recovery(filepath.Join(dir, "many"), open, 1)
	if err != nil {
		return nil, err
	}
	events, err := recovery(filepath.Join(dir, "long"), long, items)
	if err != nil {
		return nil, err
	}
	figures := []Figure{
		{Name: "workflow-recovery-100000", Value: many.Seconds(), Unit: "s", Op: "<=", Bound: 5},
		{Name: "workflow-recovery-events", Value: long * (items + 1) / events.Seconds(), Unit: "events/s", Op: ">=", Bound: 200_000},
	}
	ours, err := flow.OpenOurs("")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	const short, whole = 10_000, 100_000
	for _, language := range flow.HistoryLanguages() {
		timed := func(steps int) (float64, error) {
			began := time.Now()
			err := ours.History(context.Background(), language, steps)
			return time.Since(began).Seconds(), err
		}
		var growth, each []float64
		for range 3 {
			// As many steps in both: ten histories one after the other, and one.
			var tenth float64
			for range whole / short {
				t, err := timed(short)
				if err != nil {
					return nil, err
				}
				tenth += t
			}
			one, err := timed(whole)
			if err != nil {
				return nil, err
			}
			growth, each = append(growth, one/tenth), append(each, one/whole*1e6)
		}
		figures = append(figures,
			Figure{Name: "workflow-recovery-history-" + language, Value: median(growth), Unit: "x-per-step-of-10000", Op: "<=", Bound: 1.5},
			Figure{Name: "workflow-recovery-history-" + language + "-step", Value: median(each), Unit: "us"})
	}
	return figures, nil
}

// recovery fills a store below the directory with open executions, each with so many steps done, and returns how
// long an engine takes until it goes on with them: the median of three that come one after the other.
func recovery(dir string, executions, items int) (time.Duration, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	if err := flow.Fill(dir, executions, items); err != nil {
		return 0, err
	}
	var took []float64
	for round := range 3 {
		runtime.GC() // of the engine before
		began := time.Now()
		ours, err := flow.OpenOurs(dir)
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(began).Seconds())
		open, err := ours.GoOn(context.Background(), round+1)
		if want := executions - round; err == nil && open != want {
			err = fmt.Errorf("%d of %d executions were taken up", open, want)
		}
		if err := errors.Join(err, ours.Close()); err != nil {
			return 0, err
		}
	}
	return time.Duration(median(took) * float64(time.Second)), nil
}
