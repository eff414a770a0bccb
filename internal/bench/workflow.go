package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/joinery/faas/internal/bench/flow"
	"github.com/joinery/faas/workflow"
)

const (
	workflowRounds  = 4
	workflowSlice   = 500 * time.Millisecond
	workflowClients = 64
)

// subject is an engine that is measured beside a baseline.
type subject struct {
	name   string
	engine flow.Engine
}

// workflowExpress measures executions without durability beside base-mem: of the least definition that there can
// be, which shows what the engine costs by itself, and of Go functions.
func workflowExpress() (_ []Figure, err error) {
	ours, err := flow.OpenOurs("")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	subjects := []subject{{"", ours.Bare(workflow.Express)}, {"-durable", ours.Express()}}
	var figures []Figure
	for _, tree := range flow.Trees() {
		var base []float64
		ratio, rate := make([][]float64, len(subjects)), make([][]float64, len(subjects))
		for round := range workflowRounds + 1 {
			b, err := flow.Measure(flow.Mem{}, tree, workflowClients, workflowSlice)
			if err != nil {
				return nil, err
			}
			for i, s := range subjects {
				o, err := flow.Measure(s.engine, tree, workflowClients, workflowSlice)
				if err != nil {
					return nil, err
				}
				if round > 0 { // the first is a warm-up
					ratio[i], rate[i] = append(ratio[i], o.Rate/b.Rate), append(rate[i], o.Rate)
				}
			}
			if round > 0 {
				base = append(base, b.Rate)
			}
		}
		figures = append(figures, Figure{Name: "workflow-express-" + tree.Name + "-base-mem", Value: median(base), Unit: "workflows/s"})
		for i, s := range subjects {
			allocs, err := allocations(s.engine, tree)
			if err != nil {
				return nil, err
			}
			name := "workflow-express-" + tree.Name + s.name
			figures = append(figures,
				Figure{Name: name + "-rate", Value: median(rate[i]), Unit: "workflows/s"},
				Figure{Name: name + "-ratio", Value: median(ratio[i]), Unit: "x-of-base-mem", Op: ">=", Bound: 0.05})
			each := Figure{Name: name + "-allocs", Value: allocs, Unit: "allocs/transition"}
			if s.name == "" { // what code allocates is its own
				each.Op, each.Bound = "<=", 15
			}
			figures = append(figures, each)
		}
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

// workflowStandard measures durable executions beside base-journal on the same disk; see workflowExpress for which.
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
	subjects := []subject{{"", ours.Bare(workflow.Standard)}, {"-durable", ours.Standard()}}
	for _, tree := range flow.Trees() {
		var baseRate []float64
		all := make([]struct{ ratio, rate, latency, p50, p99 []float64 }, len(subjects))
		for round := range workflowRounds + 1 {
			b64, err1 := flow.Measure(base, tree, workflowClients, workflowSlice)
			b1, err2 := flow.Measure(base, tree, 1, workflowSlice)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			for i, s := range subjects {
				o64, err1 := flow.Measure(s.engine, tree, workflowClients, workflowSlice)
				o1, err2 := flow.Measure(s.engine, tree, 1, workflowSlice)
				if err := errors.Join(err1, err2); err != nil {
					return nil, err
				}
				if round == 0 {
					continue // warm-up
				}
				m := &all[i]
				m.ratio, m.rate = append(m.ratio, o64.Rate/b64.Rate), append(m.rate, o64.Rate)
				m.latency = append(m.latency, float64(o1.P50)/float64(b1.P50))
				m.p50, m.p99 = append(m.p50, millis(o1.P50)), append(m.p99, millis(o1.P99))
			}
			if round > 0 {
				baseRate = append(baseRate, b64.Rate)
			}
		}
		figures = append(figures, Figure{Name: "workflow-standard-" + tree.Name + "-base-journal", Value: median(baseRate), Unit: "workflows/s"})
		for i, s := range subjects {
			name, m := "workflow-standard-"+tree.Name+s.name, &all[i]
			figures = append(figures,
				Figure{Name: name + "-rate", Value: median(m.rate), Unit: "workflows/s"},
				Figure{Name: name + "-ratio", Value: median(m.ratio), Unit: "x-of-base-journal", Op: ">=", Bound: 0.35},
				Figure{Name: name + "-p50", Value: median(m.p50), Unit: "ms"},
				Figure{Name: name + "-p99", Value: median(m.p99), Unit: "ms"},
				Figure{Name: name + "-p50-ratio", Value: median(m.latency), Unit: "x-of-base-journal", Op: "<=", Bound: 1.5})
		}
	}
	return figures, nil
}
