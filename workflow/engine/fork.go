package engine

import (
	"context"
	crand "crypto/rand"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var _ workflow.Forker = (*Engine)(nil)

// Fork implements workflow.Forker.
func (e *Engine) Fork(ctx context.Context, ref workflow.ExecutionRef, step, id string) (workflow.ExecutionRef, error) {
	const op = "fork"
	var none workflow.ExecutionRef
	if err := e.accepts(op); err != nil {
		return none, err
	}
	store, record, err := e.find(ctx, op, ref.WithDefaults())
	if err != nil {
		return none, err
	}
	log, err := readLog(ctx, store, record.Ref)
	if err != nil {
		return none, err
	}
	conflict := func(what string) error {
		return faas.Errorf(component, op, record.Ref.Key(step), faas.ErrConflict, "%s", what)
	}
	if len(log) > 1 && log[1].Seq != 2 {
		return none, conflict("the log was continued and its beginning was dropped")
	}
	undone := newLedger(ref, nil)
	undone.undo(log)
	end := -1
	for i := range log {
		_, gone := undone.undone[log[i].Seq]
		if !gone && log[i].Step == step && (log[i].Kind == workflow.StepSucceeded || log[i].Kind == workflow.StepFailed) {
			end = i
			break
		}
	}
	if end < 0 {
		return none, conflict("the step has not ended")
	}
	if id == "" {
		fresh, err := uuid.NewV7()
		if err != nil {
			return none, faas.Errorf(component, op, "", faas.ErrInternal, "%w", err)
		}
		id = fresh.String()
	}
	to := workflow.ExecutionRef{Namespace: record.Ref.Namespace, ID: id, Run: 1}
	if err := to.Validate(); err != nil {
		return none, err
	}
	if _, err := e.stored(ctx, op, workflow.ExecutionRef{Namespace: to.Namespace, ID: id}); err == nil {
		return none, faas.Errorf(component, op, to.String(), faas.ErrAlreadyExists, "an execution with this ID exists")
	}
	program, err := e.languages.Compile(&log[0].Start.Definition)
	if err != nil {
		return none, err
	}
	x := e.newRun(to, store, program)
	copied, err := x.copyLog(ctx, log[:end], record.Ref)
	if err != nil {
		return none, err
	}
	start := copied[0].Start
	x.record = workflow.Execution{Ref: to, Workflow: record.Workflow, Language: record.Language, Durability: record.Durability,
		Status: workflow.StatusRunning, Started: copied[0].Time, Deadline: start.Deadline, Attributes: record.Attributes, Input: record.Input, Logs: 1}
	x.busy = true
	if other := e.runs.add(x); other != nil {
		return none, faas.Errorf(component, op, to.String(), faas.ErrAlreadyExists, "an execution with this ID exists")
	}
	x.l.undo(copied)
	if err := x.l.foldAll(copied); err != nil {
		x.stillborn()
		return none, err
	}
	mine := x.firstTurn(func() {
		x.events = append(x.events, copied...)
		x.l.outbox = nil // those signals were sent by the other
		x.openAll()
	})
	if x.born != nil {
		x.stillborn()
		return none, x.born
	}
	x.goOn(mine)
	return to, nil
}

// copyLog returns the events as the beginning of x's own log, with the bytes of their payloads.
func (x *run) copyLog(ctx context.Context, log []workflow.Event, from workflow.ExecutionRef) ([]workflow.Event, error) {
	copied := append([]workflow.Event(nil), log...)
	keep := func(p workflow.Payload) (workflow.Payload, error) {
		if _, ok := p.Digest(); !ok {
			return p, nil
		}
		q, err := inHand(ctx, p)
		return x.source.keep(q), err
	}
	for i := range copied {
		ev := &copied[i]
		var err error
		if ev.Payload, err = keep(ev.Payload); err != nil {
			return nil, err
		}
		if ev.Failure != nil {
			f := *ev.Failure
			if f.Details, err = keep(f.Details); err != nil {
				return nil, err
			}
			ev.Failure = &f
		}
		if ev.Start != nil {
			start := *ev.Start
			start.Execution, start.Parent, start.ForkOf = x.ref, nil, &from
			start.Secret = make([]byte, 16)
			crand.Read(start.Secret)
			if !start.Deadline.IsZero() {
				start.Deadline = x.e.now().Add(start.Deadline.Sub(log[0].Time))
			}
			ev.Start = &start
		}
	}
	return copied, nil
}
