package engine

import (
	"context"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// observed is how many of the newest closed executions a learning scheduler is told about at the start.
const observed = 256

// observe tells a learning scheduler what the stores know of earlier runs. What cannot be read is left out: it
// is history alone.
func (s *schedule) observe(ctx context.Context) {
	if s.learn == nil {
		return
	}
	for _, store := range s.e.stores {
		page, err := store.List(ctx, workflow.ExecutionQuery{Limit: observed,
			Statuses: []workflow.Status{workflow.StatusSucceeded, workflow.StatusFailed, workflow.StatusCanceled, workflow.StatusTimedOut}})
		if err != nil {
			s.e.log.Warn("the scheduler learns nothing from the store", "error", err)
			continue
		}
		for i := len(page.Executions) - 1; i >= 0; i-- { // the oldest first
			x := &page.Executions[i]
			if events, err := store.Read(ctx, x.Ref, 1, workflow.MaxPage); err == nil {
				s.observeAll(x.Workflow, events)
			}
		}
	}
}

// observeAll tells a learning scheduler of the attempts among the events.
func (s *schedule) observeAll(name faas.Ref, events []workflow.Event) {
	if s.learn == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		e := &events[i]
		ended := e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed || e.Kind == workflow.StepRetrying
		if !ended || e.Began.IsZero() || !strings.Contains(e.Name, "/") {
			continue
		}
		function, err := faas.ParseRef(e.Name)
		if err != nil {
			continue // an activity
		}
		s.learn.Observe(workflow.StepRecord{Workflow: name, Node: e.Node, Function: function, Attempt: e.Attempt, Ended: e.Time, Run: e.Time.Sub(e.Began),
			Cold: e.Cold, Failed: e.Kind != workflow.StepSucceeded})
	}
}
