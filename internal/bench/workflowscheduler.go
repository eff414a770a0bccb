package main

import (
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/simulation"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/fifo"
)

// workflowScheduler compares criticalpath to fifo in virtual time, and a decision of both in real time.
func workflowScheduler() ([]Figure, error) {
	learning := func(c criticalpath.Config) (workflow.Scheduler, error) { return criticalpath.New(c) }
	ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }

	var alone, aloneFIFO, least time.Duration // sums of the means of 40 workflows, each by itself on 4 slots
	for seed := range uint64(40) {
		c := simulation.Config{Workflows: simulation.Generate(seed, 1), Executions: 100, Gap: time.Hour, Slots: 4}
		s, err := learning(criticalpath.Config{Limit: 4})
		if err != nil {
			return nil, err
		}
		mine := simulation.Run(s, c)
		alone, least = alone+mine.Mean, least+mine.Least
		aloneFIFO += simulation.Run(fifo.New(&fifo.Options{Limit: 4}), c).Mean
	}
	figures := []Figure{
		{Name: "workflow-scheduler-alone", Value: ratio(alone, aloneFIFO), Unit: "x", Op: "<=", Bound: 0.95},
		{Name: "workflow-scheduler-alone-least", Value: ratio(alone, least), Unit: "x"},
		{Name: "workflow-scheduler-alone-least-fifo", Value: ratio(aloneFIFO, least), Unit: "x"},
	}

	const slots = 32 // nine tenths of them busy
	c := simulation.Config{Workflows: simulation.Generate(1, 5), Executions: 5000, Gap: 79 * time.Second / slots, Slots: slots}
	s, err := learning(criticalpath.Config{Limit: slots})
	if err != nil {
		return nil, err
	}
	loaded, loadedFIFO := simulation.Run(s, c), simulation.Run(fifo.New(&fifo.Options{Limit: slots}), c)
	figures = append(figures, Figure{Name: "workflow-scheduler-loaded", Value: ratio(loaded.Mean, loadedFIFO.Mean), Unit: "x", Op: "<=", Bound: 0.9})

	c = simulation.Config{Workflows: simulation.Generate(1, 5), Executions: 3000, Gap: 2 * time.Minute, Cold: true, Keep: 30 * time.Second}
	if s, err = learning(criticalpath.Config{}); err != nil {
		return nil, err
	}
	warm, cold := simulation.Run(s, c), simulation.Run(fifo.New(nil), c)
	figures = append(figures,
		Figure{Name: "workflow-scheduler-cold-starts", Value: float64(warm.ColdStarts) / float64(cold.ColdStarts), Unit: "x", Op: "<=", Bound: 0.2},
		Figure{Name: "workflow-scheduler-cold-mean", Value: ratio(warm.Mean, cold.Mean), Unit: "x", Op: "<=", Bound: 0.9},
		Figure{Name: "workflow-scheduler-prewarmed", Value: float64(warm.Prewarmed) / float64(cold.ColdStarts), Unit: "per cold start", Op: "<=", Bound: 1.1})

	if s, err = learning(criticalpath.Config{}); err != nil {
		return nil, err
	}
	return append(figures,
		Figure{Name: "workflow-scheduler-step", Value: perStep(s), Unit: "ns"},
		Figure{Name: "workflow-scheduler-step-fifo", Value: perStep(fifo.New(nil)), Unit: "ns"}), nil
}

// perStep is the time in ns that a scheduler takes for a step, from Ready to Done.
func perStep(s workflow.Scheduler) float64 {
	function := faas.Ref{Namespace: faas.DefaultNamespace, Name: "f"}
	step := &workflow.ReadyStep{Execution: workflow.ExecutionRef{Namespace: faas.DefaultNamespace, ID: "x", Run: 1},
		Workflow: faas.Ref{Namespace: faas.DefaultNamespace, Name: "w", Version: "1"}, Node: "n", Function: function, Attempt: 1, Slots: 1}
	var d workflow.Decision
	const steps = 1_000_000
	now := time.Now()
	for range steps {
		s.Ready(now, step)
		d.Run = d.Run[:0]
		s.Next(now, &d)
		s.Done(now, step, workflow.StepRecord{Workflow: step.Workflow, Node: "n", Function: function, Attempt: 1, Run: time.Second})
	}
	return float64(time.Since(now).Nanoseconds()) / steps
}
