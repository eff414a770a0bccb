package durabletest

import (
	"errors"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

// Execution is one that the test started.
type Execution struct {
	env *Env
	ref workflow.ExecutionRef
}

// Ref names it.
func (x *Execution) Ref() workflow.ExecutionRef { return x.ref }

// Signal sends a signal, or fails the test.
func (x *Execution) Signal(name string, value any) {
	x.env.t.Helper()
	p, err := workflow.MarshalPayload(value)
	x.env.must(err)
	x.env.must(x.env.engine.Signal(x.env.ctx, x.ref, name, p))
}

// Control changes the course, or fails the test.
func (x *Execution) Control(action workflow.Action, reason string) {
	x.env.t.Helper()
	x.env.must(x.env.engine.Control(x.env.ctx, x.ref, workflow.Control{Action: action, Reason: reason}))
}

// Wait returns the record once the execution has closed. An execution that can never close, because nothing is left that could
// happen, is a deadlock of the bubble: synctest fails the test then.
func (x *Execution) Wait() workflow.Execution {
	x.env.t.Helper()
	record, err := x.env.engine.Wait(x.env.ctx, x.ref)
	x.env.must(err)
	return record
}

// History returns the log so far.
func (x *Execution) History() []workflow.Event {
	x.env.t.Helper()
	events, err := x.env.history(x.ref)
	x.env.must(err)
	return events
}

// Result waits for the end and returns the output; the error is the *workflow.Failure of an execution that did not succeed.
func Result[Out any](x *Execution) (out Out, err error) {
	x.env.t.Helper()
	record := x.Wait()
	if record.Status != workflow.StatusSucceeded {
		if record.Failure == nil {
			return out, &workflow.Failure{Name: string(record.Status)}
		}
		return out, record.Failure
	}
	if to, ok := any(&out).(*workflow.Payload); ok {
		*to = record.Output
		return out, nil
	}
	return out, record.Output.Unmarshal(x.env.ctx, &out)
}

func (env *Env) history(ref workflow.ExecutionRef) ([]workflow.Event, error) {
	var events []workflow.Event
	for q := (workflow.HistoryQuery{Limit: workflow.MaxPage}); ; {
		page, err := env.engine.History(env.ctx, ref, q)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		if q.Token = page.Next; q.Token == "" {
			return events, nil
		}
	}
}

// replay checks that what ran is deterministic.
func (env *Env) replay() error {
	var errs []error
	for q := (workflow.ExecutionQuery{Limit: workflow.MaxPage}); ; {
		page, err := env.engine.List(env.ctx, q)
		if err != nil {
			return err
		}
		for _, x := range page.Executions {
			events, err := env.history(x.Ref)
			if err == nil {
				err = durable.Replay(env.lang, events)
			}
			if errors.Is(err, faas.ErrNotFound) && !x.Status.Open() {
				continue // it ended before a Restart with other code
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("execution %s of workflow %s cannot be replayed: %w", x.Ref, x.Workflow, err))
			}
		}
		if q.Token = page.Next; q.Token == "" {
			return errors.Join(errs...)
		}
	}
}
