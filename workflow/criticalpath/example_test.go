package criticalpath_test

import (
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
)

func ExampleNew() {
	s, err := criticalpath.New(criticalpath.Config{Limit: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	report := faas.Ref{Namespace: "default", Name: "report", Version: "1"}
	s.Describe(report, &workflow.Graph{
		Nodes: []workflow.Node{{Name: "cover"}, {Name: "text"}, {Name: "print", Function: faas.Ref{Name: "print"}}},
		Edges: []workflow.Edge{{From: "text", To: "print"}},
	})
	for node, run := range map[string]time.Duration{"cover": 2 * time.Second, "text": 2 * time.Second, "print": 9 * time.Second} {
		s.Observe(workflow.StepRecord{Workflow: report, Node: node, Run: run})
	}

	now := time.Now()
	x := workflow.ExecutionRef{Namespace: "default", ID: "monday", Run: 1}
	cover := &workflow.ReadyStep{Execution: x, Workflow: report, Step: "cover", Node: "cover", Slots: 1}
	text := &workflow.ReadyStep{Execution: x, Workflow: report, Step: "text", Node: "text", Slots: 1}
	s.Ready(now, cover)
	s.Ready(now, text)
	var d workflow.Decision
	s.Next(now, &d)
	fmt.Println("first:", d.Run[0].Step) // what the printing waits for
	fmt.Println("cover waits:", s.Explain(now, cover))
	// Output:
	// first: text
	// cover waits: limit: 1 of 1 steps are running
}
