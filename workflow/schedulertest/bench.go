package schedulertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Bench measures a scheduler: what a step costs from Ready to Done, with none and with 100,000 others that wait, in the
// order they came and spread over 100 workflows.
func Bench(b *testing.B, h Harness) {
	now := begin
	work := faas.Ref{Namespace: faas.DefaultNamespace, Name: "work", Version: "1"}
	step := func(i, workflows int) *workflow.ReadyStep {
		return &workflow.ReadyStep{
			Execution: workflow.ExecutionRef{Namespace: faas.DefaultNamespace, ID: fmt.Sprint(i), Run: 1},
			Workflow:  faas.Ref{Namespace: work.Namespace, Name: fmt.Sprint("work-", i%workflows), Version: work.Version},
			Step:      "s", Node: "n", Function: faas.Ref{Namespace: faas.DefaultNamespace, Name: "f"}, Attempt: 1, Slots: 1, Since: now,
		}
	}
	for _, c := range []struct {
		name               string
		waiting, workflows int
	}{{"alone", 0, 1}, {"waiting-100000", 100_000, 1}, {"waiting-100000-of-100-workflows", 100_000, 100}} {
		b.Run(c.name, func(b *testing.B) {
			s := h.New(b, Limits{Steps: 1})
			var d workflow.Decision
			var running *workflow.ReadyStep
			next := func() {
				d.Run = d.Run[:0]
				if s.Next(now, &d); len(d.Run) > 0 {
					running = d.Run[0]
				}
			}
			for i := range c.waiting + 1 {
				s.Ready(now, step(i, c.workflows))
			}
			next()
			b.ReportAllocs()
			for b.Loop() { // the one that ends becomes ready again, as the next of its execution
				s.Done(now, running, workflow.StepRecord{Workflow: running.Workflow, Node: running.Node, Function: running.Function, Attempt: 1, Run: time.Second})
				s.Ready(now, running)
				next()
			}
		})
	}
}
