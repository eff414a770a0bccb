package engine

import (
	"context"
	"errors"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Wait implements workflow.Engine.
func (e *Engine) Wait(ctx context.Context, ref workflow.ExecutionRef) (workflow.Execution, error) {
	if err := e.ready("wait"); err != nil {
		return workflow.Execution{}, err
	}
	ref = ref.WithDefaults()
	x := e.runs.get(ref)
	if x == nil {
		return e.stored(ctx, "wait", ref)
	}
	x.mu.Lock()
	if !x.gone && x.done == nil {
		x.done = make(chan struct{})
	}
	gone, done := x.gone, x.done
	x.mu.Unlock()
	if !gone {
		select {
		case <-done:
		case <-ctx.Done():
			return workflow.Execution{}, faas.ContextError(ctx, component, "wait", ref.String())
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.final.Ref.ID == "" {
		if err := e.ready("wait"); err != nil {
			return workflow.Execution{}, err
		}
		return workflow.Execution{}, errNotFound("wait", ref)
	}
	return x.final, nil
}

func errNotFound(op string, ref workflow.ExecutionRef) error {
	return faas.Errorf(component, op, ref.String(), faas.ErrNotFound, "there is no such execution")
}

// Get implements workflow.Engine.
func (e *Engine) Get(ctx context.Context, ref workflow.ExecutionRef) (workflow.Execution, error) {
	if err := e.ready("get"); err != nil {
		return workflow.Execution{}, err
	}
	return e.stored(ctx, "get", ref.WithDefaults())
}

// stored returns the record from whichever store has it.
func (e *Engine) stored(ctx context.Context, op string, ref workflow.ExecutionRef) (found workflow.Execution, err error) {
	_, found, err = e.find(ctx, op, ref)
	return found, err
}

// find returns an execution's record and the store that has it: of two runs the later one.
func (e *Engine) find(ctx context.Context, op string, ref workflow.ExecutionRef) (store workflow.Store, found workflow.Execution, err error) {
	if err := ref.Validate(); err != nil {
		return nil, workflow.Execution{}, err
	}
	for _, s := range e.stores {
		r, err := s.Get(ctx, ref)
		if errors.Is(err, faas.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, workflow.Execution{}, err
		}
		if store == nil || r.Ref.Run > found.Ref.Run {
			store, found = s, r
		}
	}
	if store == nil {
		return nil, workflow.Execution{}, errNotFound(op, ref)
	}
	return store, found, nil
}

// Signal implements workflow.Engine.
func (e *Engine) Signal(ctx context.Context, ref workflow.ExecutionRef, name string, value workflow.Payload) error {
	if !validName(name) {
		return faas.Errorf(component, "signal", ref.String(), faas.ErrInvalidArgument, "the name of a signal is 1 to %d bytes of UTF-8", workflow.MaxStepID)
	}
	if value.Size() > e.limits.Payload {
		return faas.Errorf(component, "signal", ref.String(), faas.ErrInvalidArgument, "the value is %d bytes, more than Limits.Payload, %d", value.Size(), e.limits.Payload)
	}
	value, err := inHand(ctx, value)
	if err != nil {
		return err
	}
	return e.tell(ctx, "signal", ref.WithDefaults(), fact{kind: factSignal, name: name, outcome: outcome{payload: value}})
}

// tell brings a fact to an open execution and waits until it is durable.
func (e *Engine) tell(ctx context.Context, op string, ref workflow.ExecutionRef, f fact) error {
	if err := e.accepts(op); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, op, ref.String())
	}
	x := e.runs.get(ref)
	if x == nil {
		if _, err := e.stored(ctx, op, ref); err != nil {
			return err
		}
		return faas.Errorf(component, op, ref.String(), faas.ErrConflict, "the execution has closed")
	}
	ch := make(chan error, 1)
	f.reply = ch
	x.post(f)
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		err := faas.ContextError(ctx, component, op, ref.String())
		err.Next = "it may still be recorded"
		return err
	}
}
