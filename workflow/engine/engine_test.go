package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas/workflow"
)

func TestStepsInSequenceAndInParallel(t *testing.T) {
	f := setUp(t, scripts{"seq": tree{5, false}, "par": tree{100, true}}, nil)
	x := f.run(t, named("seq"))
	assert.Equal(t, workflow.StatusSucceeded, x.Status)
	assert.Equal(t, "15", text(t, x.Output))
	x = f.run(t, named("par"))
	assert.Equal(t, "5050", text(t, x.Output))
}

func TestTimer(t *testing.T) {
	f := setUp(t, scripts{"timer": on(func(e *workflow.Event) []workflow.Command {
		if e.Kind == workflow.ExecutionStarted {
			return []workflow.Command{{Kind: workflow.CommandTimer, Step: "t", Due: e.Time.Add(20 * time.Millisecond)}}
		}
		return succeed(`"rung"`)
	})}, nil)
	x := f.run(t, named("timer"))
	assert.Equal(t, `"rung"`, text(t, x.Output))
	assert.GreaterOrEqual(t, x.Closed.Sub(x.Started), 20*time.Millisecond)
}

func TestFailure(t *testing.T) {
	f := setUp(t, scripts{"bad": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{callNext("a", `"no number"`)}
		case workflow.StepFailed:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}
		}
		return nil
	})}, nil)
	x := f.run(t, named("bad"))
	assert.Equal(t, workflow.StatusFailed, x.Status)
	assert.Equal(t, workflow.FailurePlatform, x.Failure.Name)
}
