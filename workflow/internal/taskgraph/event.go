package taskgraph

import (
	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Conflict is the error of a log that is not of this definition: expected is what the event should have been.
func Conflict(e *workflow.Event, expected string) error {
	err := faas.Errorf("workflow engine", "step", e.Step, faas.ErrConflict, "event %d is %s of %q; expected %s", e.Seq, e.Kind, e.Step, expected)
	err.Next = "run the definition that the execution was started with"
	return err
}

// Canceled is how an execution ends whose cancellation the event requests.
func Canceled(e *workflow.Event) *workflow.Failure {
	cause := "the execution was cancelled"
	if e.Failure != nil && e.Failure.Cause != "" {
		cause = e.Failure.Cause
	}
	return &workflow.Failure{Name: workflow.FailureCanceled, Cause: cause}
}
