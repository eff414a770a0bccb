package engine

import (
	"context"
	"errors"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Control implements workflow.Engine. ActionRedrive of an open execution that is parked tries its Program again.
func (e *Engine) Control(ctx context.Context, ref workflow.ExecutionRef, c workflow.Control) error {
	op := string(c.Action)
	switch c.Action {
	case workflow.ActionCancel, workflow.ActionTerminate, workflow.ActionSuspend, workflow.ActionResume, workflow.ActionRedrive:
	default:
		return faas.Errorf(component, "control", ref.String(), faas.ErrInvalidArgument, "there is no action %.40q", c.Action)
	}
	ref = ref.WithDefaults()
	err := e.tell(ctx, op, ref, fact{kind: factControl, action: c.Action, name: c.Reason})
	if c.Action == workflow.ActionRedrive && errors.Is(err, faas.ErrConflict) && e.runs.get(ref) == nil {
		return e.redrive(ctx, ref, c.Reason)
	}
	return err
}
