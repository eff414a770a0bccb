package durable_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func TestAPanicFailsTheExecutionWithItsStack(t *testing.T) {
	code := durable.Workflow("panics", "1", func(ctx durable.Context, in int) (int, error) {
		durable.Go(ctx, func(ctx durable.Context) (int, error) { explode(); return 0, nil })
		return durable.Call[int](ctx, fn("f"), nil, nil).Get()
	})
	h := begin(t, code, 0)
	f := h.failure()
	require.Equal(t, workflow.FailureProgram, f.Name)
	require.Contains(t, f.Cause, "panic in workflow panics@1: boom")
	text, err := f.Details.Bytes(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(text), "durable_test.explode\n\t")
	require.Contains(t, string(text), "fault_test.go:")
	h.refold(h.program)
}

func explode() { panic("boom") }

func TestGoexitFailsTheExecution(t *testing.T) {
	code := durable.Workflow("exits", "1", func(ctx durable.Context, in int) (int, error) {
		runtime.Goexit()
		return 0, nil
	})
	require.Contains(t, begin(t, code, 0).failure().Cause, "runtime.Goexit")
}

func TestADeadlockFailsTheExecutionAndSaysWhoWaitsForWhat(t *testing.T) {
	code := durable.Workflow("stuck", "1", func(ctx durable.Context, in int) (int, error) {
		var mu durable.Mutex
		mu.Lock(ctx)
		g := ctx.Group(0)
		g.Go(func(ctx durable.Context) error {
			mu.Lock(ctx)
			return nil
		})
		return 0, g.Wait()
	})
	f := begin(t, code, 0).failure()
	require.Equal(t, workflow.FailureProgram, f.Name)
	require.Equal(t, "deadlock in workflow stuck@1: no step is open; coroutine 1 waits for its group; coroutine 2 waits for a mutex", f.Cause)
}

func TestAnInputThatDoesNotFitFailsTheExecution(t *testing.T) {
	code := durable.Workflow("typed", "1", func(ctx durable.Context, in int) (int, error) { return in, nil })
	f := begin(t, code, "text").failure()
	require.Equal(t, workflow.FailureProgram, f.Name)
	require.Contains(t, f.Cause, "input of workflow typed")

	unsayable := durable.Workflow("typed", "1", func(ctx durable.Context, in int) (func(), error) { return func() {}, nil })
	require.Contains(t, begin(t, unsayable, 0).failure().Cause, "unsupported type")
}

// Code that blocks or spins outside of this package loses its turn.
func TestCodeThatDoesNotComeBackIsGivenUp(t *testing.T) {
	unblock := make(chan struct{})
	left := make(chan string, 10)
	for name, stray := range map[string]func(ctx durable.Context){
		"blocks": func(durable.Context) { <-unblock },
		"spins": func(ctx durable.Context) {
			for {
				ctx.Now()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			code := durable.Workflow(name, "1", func(ctx durable.Context, in int) (int, error) {
				defer func() { left <- "main" }()
				durable.Go(ctx, func(ctx durable.Context) (int, error) {
					defer func() { left <- "other" }()
					return 0, ctx.Sleep(time.Hour)
				})
				if err := durable.Call[any](ctx, fn("before"), nil, nil).Err(); err != nil {
					return 0, err
				}
				stray(ctx)
				return durable.Call[int](ctx, fn("after"), nil, nil).Get()
			})
			program := compile(t, &durable.Options{Budget: time.Second}, code)
			first := workflow.Event{Seq: 1, Time: zero, Kind: workflow.ExecutionStarted, Payload: workflow.JSON("0"), Start: start(code)}
			s, _, err := program.Step(nil, &first)
			require.NoError(t, err)
			s, commands, err := program.Step(s, &workflow.Event{Seq: 2, Time: zero, Kind: workflow.StepSucceeded, Step: "before"})
			require.ErrorIs(t, err, faas.ErrTimeout)
			require.ErrorContains(t, err, "workflow "+name+"@1 did not wait in a durable call for 1s after event 2")
			require.ErrorContains(t, err, "the last step it opened is")
			require.Nil(t, s)
			require.Nil(t, commands)
			if name == "blocks" {
				require.ErrorContains(t, err, "TestCodeThatDoesNotComeBackIsGivenUp", "the stack of what is stuck")
				_, _, err = program.Step(nil, &first)
				require.ErrorIs(t, err, faas.ErrTimeout, "it is not run again while it hangs")
				close(unblock)
			}
			require.Equal(t, "main", <-left, "it ends at its next durable call, and the others with it")
			require.Equal(t, "other", <-left)
			require.Eventually(t, func() bool {
				s, _, err = program.Step(nil, &first)
				return err == nil
			}, 10*time.Second, time.Millisecond)
			program.(workflow.Releaser).Release(s)
			require.Equal(t, "main", <-left)
			require.Equal(t, "other", <-left)
		})
	}
}

func TestReleaseEndsEveryCoroutine(t *testing.T) {
	var left []string
	code := durable.Workflow("parked", "1", func(ctx durable.Context, in int) (int, error) {
		defer func() { left = append(left, "main") }()
		defer func() {
			defer func() { left = append(left, "deferred call ended") }()
			_ = ctx.Sleep(time.Hour) // ends the coroutine once more
			left = append(left, "not reached")
		}()
		durable.Go(ctx, func(ctx durable.Context) (int, error) {
			defer func() { left = append(left, "a"); panic("is kept in") }()
			return 0, ctx.Sleep(time.Hour)
		})
		if err := ctx.Sleep(time.Hour); err != nil {
			return 0, err
		}
		durable.Go(ctx, func(ctx durable.Context) (int, error) { panic("is never started") })
		runtime.Goexit()
		return 0, nil
	})
	h := begin(t, code, 0)
	h.release()
	require.Equal(t, []string{"deferred call ended", "main", "a"}, left)
	h.program.(workflow.Releaser).Release(nil)
}

// flaky is a payload source that fails at first.
type flaky struct {
	err  error
	data []byte
}

func (f *flaky) Payload(context.Context, faas.Digest) ([]byte, error) { return f.data, f.err }

func TestPayloadsThatCannotBeHadNowAreNoFailure(t *testing.T) {
	code := durable.Workflow("large", "1", func(ctx durable.Context, in int) (int, error) {
		other := durable.Go(ctx, func(ctx durable.Context) (int, error) { return 1, ctx.Sleep(time.Hour) })
		n, err := durable.Call[int](ctx, fn("f"), nil, nil).Get()
		other.Close()
		return n, err
	})
	source := &flaky{err: faas.Errorf("store", "read", "", faas.ErrUnavailable, "not now")}
	h := begin(t, code, 0)
	err := h.event(workflow.Event{Kind: workflow.StepSucceeded, Step: "f", Payload: workflow.Reference("", "sha256:00", 2, source)})
	require.ErrorIs(t, err, faas.ErrUnavailable)
	require.Nil(t, h.state)

	source.err, source.data = nil, []byte("42")
	var commands []workflow.Command
	for i := range h.log {
		h.state, commands, err = h.program.Step(h.state, &h.log[i])
		require.NoError(t, err)
	}
	require.Equal(t, workflow.JSON("42"), commands[0].Payload)
}

func TestAHistoryThatTheCodeDoesNotFitIsExplained(t *testing.T) {
	code := durable.Workflow("pay", "2", func(ctx durable.Context, in int) (int, error) {
		if err := durable.Call[any](ctx, fn("check"), nil, nil).Err(); err != nil {
			return 0, err
		}
		return durable.Call[int](ctx, fn("refund"), nil, &durable.CallOptions{Name: "money"}).Get()
	})
	for name, c := range map[string]struct {
		event workflow.Event
		says  []string
	}{
		"a step that was not opened": {workflow.Event{Kind: workflow.StepSucceeded, Step: "charge", Node: "charge", Name: "default/charge"},
			[]string{`event 3 (step-succeeded)`, `history has step "charge" (node charge of default/charge)`, `waits for "money" (call default/refund)`, "after event 2"}},
		"another target": {workflow.Event{Kind: workflow.StepSucceeded, Step: "money", Node: "money", Name: "default/charge"},
			[]string{`is the outcome of node money of default/charge, but the code opened step "money" as call default/refund`}},
		"another node": {workflow.Event{Kind: workflow.StepFailed, Step: "money", Node: "gold"}, []string{"is the outcome of node gold"}},
		"an end":       {workflow.Event{Kind: workflow.ExecutionSucceeded}, []string{"which the code did not reach", `waits for "money"`}},
	} {
		t.Run(name, func(t *testing.T) {
			h := begin(t, code, 0)
			h.succeed("check", nil)
			err := h.event(c.event)
			require.ErrorIs(t, err, faas.ErrConflict)
			text := err.Error()
			for _, s := range append(c.says, "workflow pay@2 does not fit its history", "default/x#1", "Patched") {
				require.Contains(t, text, s)
			}
			var e *faas.Error
			require.True(t, errors.As(err, &e))
			require.NotEmpty(t, e.Next)
		})
	}

	short := durable.Workflow("short", "1", func(ctx durable.Context, in int) (int, error) { return 1, nil })
	h := begin(t, short, 0)
	require.NoError(t, h.event(workflow.Event{Kind: workflow.CancelRequested}), "what does not concern ended code is nothing to it")
	require.ErrorContains(t, h.event(workflow.Event{Kind: workflow.StepSucceeded, Step: "more"}), "the code, after event 2, had ended")
}

func TestALogBeginsWithItsStart(t *testing.T) {
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) { return 0, ctx.Sleep(time.Hour) })
	p := compile(t, nil, code)
	for _, e := range []workflow.Event{{Kind: workflow.ExecutionStarted}, {Kind: workflow.StepSucceeded, Step: "f"}} {
		_, _, err := p.Step(nil, &e)
		require.ErrorIs(t, err, faas.ErrConflict)
	}
	h := begin(t, code, 0)
	require.ErrorIs(t, h.event(workflow.Event{Kind: workflow.ExecutionStarted, Start: start(code)}), faas.ErrConflict)
}

func TestContextsOfNobodyPanic(t *testing.T) {
	var leaked durable.Context
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
		leaked = ctx
		return 0, ctx.Sleep(time.Hour)
	})
	h := begin(t, code, 0)
	require.PanicsWithValue(t, "durable: workflow code was used outside of its workflow: in a query handler, or in a goroutine that the go statement started", func() { leaked.Now() })
	require.Panics(t, func() { durable.Context{}.Now() })
	require.Panics(t, func() { _, _ = durable.Future[int]{}.Get() })
	h.succeed("timer:1", nil)
}
