package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/joinery/faas/internal/bench/flow"
)

const (
	workflowRounds  = 5
	workflowSlice   = 700 * time.Millisecond
	workflowClients = 64
)

// workflowExpress measures executions without durability beside base-mem.
func workflowExpress() (_ []Figure, err error) {
	ours, err := flow.OpenOurs("")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	express := ours.Express()
	var figures []Figure
	for _, tree := range flow.Trees() {
		var ratio, rate, base []float64
		for round := range workflowRounds + 1 {
			b, err1 := flow.Measure(flow.Mem{}, tree, workflowClients, workflowSlice)
			o, err2 := flow.Measure(express, tree, workflowClients, workflowSlice)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			if round == 0 {
				continue // warm-up
			}
			ratio, rate, base = append(ratio, o.Rate/b.Rate), append(rate, o.Rate), append(base, b.Rate)
		}
		allocs, err := allocations(express, tree)
		if err != nil {
			return nil, err
		}
		figures = append(figures,
			Figure{Name: "workflow-express-" + tree.Name + "-rate", Value: median(rate), Unit: "workflows/s"},
			Figure{Name: "workflow-express-" + tree.Name + "-base-mem", Value: median(base), Unit: "workflows/s"},
			Figure{Name: "workflow-express-" + tree.Name + "-ratio", Value: median(ratio), Unit: "x-of-base-mem", Op: ">=", Bound: 0.05},
			Figure{Name: "workflow-express-" + tree.Name + "-allocs", Value: allocs, Unit: "allocs/transition", Op: "<=", Bound: 15})
	}
	return figures, nil
}

// allocations are those of one transition: an execution's, by its start, its steps and its end. What the
// function and the program of the tree allocate is among them.
func allocations(e flow.Engine, tree flow.Tree) (float64, error) {
	runs := 100_000 / tree.Steps
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := e.Run(context.Background(), tree); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(runs*(tree.Steps+2)), nil
}

// workflowStandard measures durable executions beside base-journal on the same disk.
func workflowStandard() (_ []Figure, err error) {
	dir, err := os.MkdirTemp("", "joinery-workflow")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	serial, shared, err := flow.Disk(dir, workflowSlice)
	if err != nil {
		return nil, err
	}
	figures := []Figure{
		{Name: "workflow-standard-disk-serial", Value: serial.Rate, Unit: "appends/s"},
		{Name: "workflow-standard-disk-shared", Value: shared.Rate, Unit: "appends/s"},
	}
	base, err := flow.OpenJournalEngine(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	ours, err := flow.OpenOurs(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	for _, tree := range flow.Trees() {
		var ratio, rate, baseRate, latency, p50, p99 []float64
		for round := range workflowRounds + 1 {
			b64, err1 := flow.Measure(base, tree, workflowClients, workflowSlice)
			o64, err2 := flow.Measure(ours.Standard(), tree, workflowClients, workflowSlice)
			b1, err3 := flow.Measure(base, tree, 1, workflowSlice)
			o1, err4 := flow.Measure(ours.Standard(), tree, 1, workflowSlice)
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return nil, err
			}
			if round == 0 {
				continue // warm-up
			}
			ratio, rate, baseRate = append(ratio, o64.Rate/b64.Rate), append(rate, o64.Rate), append(baseRate, b64.Rate)
			latency = append(latency, float64(o1.P50)/float64(b1.P50))
			p50, p99 = append(p50, millis(o1.P50)), append(p99, millis(o1.P99))
		}
		name := "workflow-standard-" + tree.Name
		figures = append(figures,
			Figure{Name: name + "-rate", Value: median(rate), Unit: "workflows/s"},
			Figure{Name: name + "-base-journal", Value: median(baseRate), Unit: "workflows/s"},
			Figure{Name: name + "-ratio", Value: median(ratio), Unit: "x-of-base-journal", Op: ">=", Bound: 0.35},
			Figure{Name: name + "-p50", Value: median(p50), Unit: "ms"},
			Figure{Name: name + "-p99", Value: median(p99), Unit: "ms"},
			Figure{Name: name + "-p50-ratio", Value: median(latency), Unit: "x-of-base-journal", Op: "<=", Bound: 1.5})
	}
	return figures, nil
}
