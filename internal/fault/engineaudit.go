package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/pebblestore"
)

// audit is what the store says when all is over.
type audit struct {
	executions                                                                      int
	lostExecutions, notSucceeded, lostSteps, recordedTwice, wrongOutputs, terminals int
	first                                                                           string // the first fault
}

func (a *audit) bad(count *int, format string, args ...any) {
	if *count++; a.first == "" {
		a.first = fmt.Sprintf(format, args...)
	}
}

// audit reads every log.
func (c *crashes) audit(ctx context.Context) (a *audit, err error) {
	store, err := pebblestore.Open(pebblestore.Config{Dir: c.store(), Reserve: 4 << 20})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	a = new(audit)
	there := map[string]bool{}
	for q := (workflow.ExecutionQuery{Limit: workflow.MaxPage}); ; {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Executions {
			there[page.Executions[i].Ref.ID] = true
			if err := a.execution(ctx, store, &page.Executions[i]); err != nil {
				return nil, err
			}
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	for id := range c.sink.started {
		ended := c.sink.ended[id]
		brief := courseOf(id) == "brief" && c.sink.deliveries["default/"+id+"#1/a"] != nil // those are deleted once they have ended
		if !there[id] && !brief {
			a.bad(&a.lostExecutions, "execution %s was acknowledged and is not there", id)
		}
		if ended != "" && ended != string(workflow.StatusSucceeded) {
			a.bad(&a.notSucceeded, "execution %s was told to be %s", id, ended)
		}
	}
	return a, nil
}

// execution checks the log of one execution.
func (a *audit) execution(ctx context.Context, store workflow.Store, x *workflow.Execution) error {
	a.executions++
	course := x.Workflow.Name
	if x.Status != workflow.StatusSucceeded {
		a.bad(&a.notSucceeded, "%s is %s: %v", x.Ref, x.Status, x.Failure)
	} else if output, _ := x.Output.InHand(); string(output) != strconv.Itoa(outputOf(course)) {
		a.bad(&a.wrongOutputs, "%s: output %s, want %d", x.Ref, output, outputOf(course))
	}
	var events []workflow.Event
	for from := uint64(1); ; from = events[len(events)-1].Seq + 1 {
		more, err := store.Read(ctx, x.Ref, from, workflow.MaxPage)
		if err != nil {
			return err
		}
		events = append(events, more...)
		if len(more) < workflow.MaxPage {
			break
		}
	}
	undone := map[uint64]bool{}
	for i := range events {
		for _, seq := range events[i].Undone {
			undone[seq] = true
		}
	}
	succeeded, terminals := map[string]int{}, 0
	for i := range events {
		e := &events[i]
		switch {
		case e.Kind == workflow.ExecutionRedriven:
			terminals--
		case e.Kind.Closes():
			terminals++
		case e.Kind == workflow.StepSucceeded && !undone[e.Seq]:
			succeeded[e.Step]++
		}
	}
	if terminals != 1 {
		a.bad(&a.terminals, "%s has %d terminal events", x.Ref, terminals)
	}
	trimmed := x.Logs > 1 // what it was is in the output alone
	for step := range steps(course) {
		switch n := succeeded[step]; {
		case n > 1:
			a.bad(&a.recordedTwice, "%s: step %s succeeded %d times", x.Ref, step, n)
		case n == 0 && !trimmed:
			a.bad(&a.lostSteps, "%s: step %s has no result", x.Ref, step)
		}
		delete(succeeded, step)
	}
	for step := range succeeded {
		return faas.Errorf("audit", "read", x.Ref.String(), faas.ErrCorrupt, "the step %q is not in the workflow", step)
	}
	return nil
}
