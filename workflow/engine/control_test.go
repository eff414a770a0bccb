package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
)

func control(t *testing.T, f *fixture, ref workflow.ExecutionRef, a workflow.Action) error {
	return f.Control(t.Context(), ref, workflow.Control{Action: a, Reason: "a test"})
}

// history returns the whole log.
func history(t testing.TB, f *fixture, ref workflow.ExecutionRef) (events []workflow.Event) {
	q := workflow.HistoryQuery{Limit: workflow.MaxPage}
	for {
		page, err := f.History(t.Context(), ref, q)
		require.NoError(t, err)
		events = append(events, page.Events...)
		if q.Token = page.Next; q.Token == "" {
			return events
		}
	}
}

// kinds are the events' kinds and steps, for short comparisons.
func kinds(events []workflow.Event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.Kind.String())
		if e.Step != "" {
			b.WriteString("(" + e.Step + ")")
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestCancelTerminateSuspend(t *testing.T) {
	waits := on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		case workflow.CancelRequested:
			return []workflow.Command{callNext("clean", `1`)}
		case workflow.StepSucceeded:
			if e.Step == "clean" {
				return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled, Cause: "as asked"}}}
			}
			return succeed(`1`)
		}
		return nil
	})
	f := setUp(t, scripts{"w": waits}, nil)
	ref, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	require.NoError(t, control(t, f, ref, workflow.ActionCancel))
	x := f.wait(t, ref)
	assert.Equal(t, workflow.StatusCanceled, x.Status)
	assert.Equal(t, "Canceled: as asked", x.Failure.Error())
	assert.ErrorIs(t, control(t, f, ref, workflow.ActionCancel), faas.ErrConflict)
	assert.ErrorIs(t, control(t, f, ref, "dance"), faas.ErrInvalidArgument)
	assert.ErrorIs(t, control(t, f, workflow.ExecutionRef{ID: "none"}, workflow.ActionCancel), faas.ErrNotFound)

	ref, err = f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	require.NoError(t, control(t, f, ref, workflow.ActionTerminate))
	x = f.wait(t, ref)
	assert.Equal(t, workflow.StatusTerminated, x.Status)
	assert.Equal(t, "execution-started execution-terminated", kinds(history(t, f, ref)))

	ref, err = f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	assert.ErrorIs(t, control(t, f, ref, workflow.ActionResume), faas.ErrConflict)
	require.NoError(t, control(t, f, ref, workflow.ActionSuspend))
	assert.ErrorIs(t, control(t, f, ref, workflow.ActionSuspend), faas.ErrConflict)
	x, err = f.Get(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, workflow.StatusSuspended, x.Status)
	require.NoError(t, control(t, f, ref, workflow.ActionCancel), "recorded, but cleaning up is a step that is not started")
	explained, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, "operator", explained.Steps[1].Owner)
	require.NoError(t, control(t, f, ref, workflow.ActionResume))
	assert.Equal(t, workflow.StatusCanceled, f.wait(t, ref).Status)
}

func TestRedrive(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	calls := make(chan string, 100)
	// a, then b and c, then d.
	diamond := script(func(events []workflow.Event) []workflow.Command {
		ended := map[string]bool{}
		for _, e := range events {
			if e.Kind == workflow.StepSucceeded {
				ended[e.Step] = true
			}
		}
		switch e := &events[len(events)-1]; {
		case e.Kind == workflow.ExecutionStarted:
			return []workflow.Command{callNext("a", `1`)}
		case e.Kind == workflow.StepFailed:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}
		case e.Kind == workflow.CancelRequested:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled}}}
		case e.Kind != workflow.StepSucceeded:
			return nil
		case e.Step == "a":
			return []workflow.Command{callNext("b", `2`), callNext("c", `3`)}
		case e.Step == "d":
			return succeed(`"all"`)
		case ended["b"] && ended["c"]:
			return []workflow.Command{callNext("d", `4`)}
		}
		return nil
	})
	f := setUp(t, scripts{"diamond": diamond}, functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		calls <- req.Header.Get(workflow.HeaderIdempotencyKey) + " " + req.Header.Get(workflow.HeaderAttempt)
		if broken.Load() && strings.HasSuffix(req.ID, "/d") {
			return &faas.Response{Status: 500}, nil
		}
		return plusOne(ctx, req)
	}))
	x := f.run(t, workflow.StartRequest{Workflow: faas.Ref{Name: "diamond"}, ID: "x"})
	require.Equal(t, workflow.StatusFailed, x.Status)
	require.NoError(t, control(t, f, x.Ref, workflow.ActionRedrive))
	x = f.wait(t, x.Ref)
	require.Equal(t, workflow.StatusFailed, x.Status, "it is broken still")
	broken.Store(false)
	f.restart(t)
	require.NoError(t, control(t, f, x.Ref, workflow.ActionRedrive))
	x = f.wait(t, x.Ref)
	require.Equal(t, workflow.StatusSucceeded, x.Status)
	assert.Nil(t, x.Failure)
	assert.ErrorIs(t, control(t, f, x.Ref, workflow.ActionRedrive), faas.ErrConflict)
	close(calls)
	var got []string
	for c := range calls {
		got = append(got, c)
	}
	assert.ElementsMatch(t, []string{"default/x#1/a 1", "default/x#1/b 1", "default/x#1/c 1", "default/x#1/d 1", "default/x#1/d 2", "default/x#1/d 3"}, got)
	var undone [][]uint64
	for _, e := range history(t, f, x.Ref) {
		if e.Kind == workflow.ExecutionRedriven {
			undone = append(undone, e.Undone)
		}
	}
	assert.Equal(t, [][]uint64{{5, 6}, {8, 9}}, undone)
}

func TestRedriveOfACancelledExecution(t *testing.T) {
	for _, snapshot := range []int{1, 1000} {
		f := setUp(t, scripts{"w": on(func(e *workflow.Event) []workflow.Command {
			switch e.Kind {
			case workflow.ExecutionStarted:
				return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
			case workflow.CancelRequested:
				return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled}}}
			case workflow.StepSucceeded:
				return succeed(`1`)
			}
			return nil
		})}, func(c *engine.Config) { c.Limits.Snapshot = snapshot })
		ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "w"}, Timeout: time.Hour})
		require.NoError(t, err)
		require.NoError(t, control(t, f, ref, workflow.ActionCancel))
		require.Equal(t, workflow.StatusCanceled, f.wait(t, ref).Status)
		require.NoError(t, control(t, f, ref, workflow.ActionRedrive))
		f.restart(t)
		require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}))
		assert.Equal(t, workflow.StatusSucceeded, f.wait(t, ref).Status)
	}
}

func TestRedriveThatWouldEndTheSameWay(t *testing.T) {
	f := setUp(t, scripts{"bad": on(func(*workflow.Event) []workflow.Command {
		return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: "Always"}}}
	})}, nil)
	x := f.run(t, named("bad"))
	assert.ErrorIs(t, control(t, f, x.Ref, workflow.ActionRedrive), faas.ErrConflict)
	again, err := f.Get(t.Context(), x.Ref)
	require.NoError(t, err)
	assert.Equal(t, workflow.StatusFailed, again.Status)
	_, err = f.Start(t.Context(), named("bad"))
	assert.NoError(t, err)
}

func TestFork(t *testing.T) {
	var add atomic.Int64
	add.Store(1)
	f := setUp(t, scripts{"seq": tree{3, false}}, functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		if add.Load() == 1 {
			return plusOne(ctx, req)
		}
		return &faas.Response{Body: faas.String("100")}, nil
	}))
	x := f.run(t, named("seq"))
	assert.Equal(t, "6", text(t, x.Output))
	add.Store(100)
	ref, err := f.Fork(t.Context(), x.Ref, "step-1", "forked")
	require.NoError(t, err)
	forked := f.wait(t, ref)
	assert.Equal(t, "201", text(t, forked.Output), "1 of the first step, 100 of the others")
	log := history(t, f, ref)
	assert.Equal(t, x.Ref, *log[0].Start.ForkOf)
	assert.Equal(t, ref, log[0].Start.Execution)
	assert.NotEqual(t, history(t, f, x.Ref)[0].Start.Secret, log[0].Start.Secret)
	_, err = f.Fork(t.Context(), x.Ref, "step-1", "forked")
	assert.ErrorIs(t, err, faas.ErrAlreadyExists)
	_, err = f.Fork(t.Context(), x.Ref, "step-9", "")
	assert.ErrorIs(t, err, faas.ErrConflict)
	_, err = f.Fork(t.Context(), workflow.ExecutionRef{ID: "none"}, "step-1", "")
	assert.ErrorIs(t, err, faas.ErrNotFound)
}

// TestCancelRacesCompletion: whatever comes first, an execution has exactly one last event.
func TestCancelRacesCompletion(t *testing.T) {
	f := setUp(t, scripts{"one": single(callNext("a", `1`))}, nil)
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	actions := []workflow.Action{workflow.ActionCancel, workflow.ActionTerminate}
	ends := map[workflow.Status]int{}
	for i := range rounds {
		ref, err := f.Start(t.Context(), named("one"))
		require.NoError(t, err)
		err = control(t, f, ref, actions[i%2])
		if err != nil {
			require.ErrorIs(t, err, faas.ErrConflict)
		}
		x := f.wait(t, ref)
		ends[x.Status]++
		if err != nil {
			require.Equal(t, workflow.StatusSucceeded, x.Status)
		}
		log := history(t, f, ref)
		for j, e := range log {
			require.Equal(t, j == len(log)-1, e.Kind.Closes(), kinds(log))
		}
	}
	t.Log(ends)
}
