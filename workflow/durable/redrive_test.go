package durable_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func TestRedriveKeepsWhatSucceeded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.function("a", appends("a"))
		w.function("b", func(string) (string, error) { return "", fmt.Errorf("Down") })
		w.start(nil, chain("1", "a", "b"))
		ref := w.begin("chain", "x")
		x := w.wait(ref)
		require.Equal(t, workflow.StatusFailed, x.Status)
		require.Equal(t, "Down", x.Failure.Name)
		w.function("b", appends("b"))
		w.control(ref, workflow.ActionRedrive)
		require.Equal(t, `"xab"`, w.output(ref))
		require.Equal(t, 1, w.called("a"))
		require.Equal(t, 2, w.called("b"))
	})
}

func TestRedriveAfterTheCodeWasMended(t *testing.T) {
	faulty := durable.Workflow("chain", "1", func(ctx durable.Context, in string) (string, error) {
		if err := durable.Call[any](ctx, fn("a"), in, nil).Err(); err != nil {
			return "", err
		}
		panic("a fault")
	})
	inBubble(t, func(t *testing.T, w *world) {
		stop := w.start(nil, faulty)
		ref := w.begin("chain", "x")
		x := w.wait(ref)
		require.Equal(t, workflow.FailureProgram, x.Failure.Name)
		require.Contains(t, x.Failure.Cause, "panic in workflow chain@1: a fault")
		err := w.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive})
		require.ErrorIs(t, err, faas.ErrConflict, "it would panic again")
		stop()

		w.start(nil, chain("1", "a", "b"))
		w.control(ref, workflow.ActionRedrive)
		require.Equal(t, `"x"`, w.output(ref))
		require.Equal(t, 1, w.called("a"))
		require.Equal(t, 1, w.called("b"))
	})
}

// What the code dealt with is not done again: the failure of the card stays, and so does the payment from the account.
func TestRedriveLeavesHandledFailuresAlone(t *testing.T) {
	code := func(wrap func(error) error) durable.Code {
		return durable.Workflow("pay", "1", func(ctx durable.Context, in string) (string, error) {
			approve, err := durable.Receive[string](ctx, "approve", time.Hour).Get()
			if err != nil && !errors.Is(err, faas.ErrTimeout) {
				return "", err
			}
			out, err := durable.Call[string](ctx, fn("card"), in, nil).Get()
			if durable.Failed(err, "Declined") {
				out, err = durable.Call[string](ctx, fn("account"), in, nil).Get()
			}
			if err != nil {
				return "", err
			}
			if err := durable.Call[any](ctx, fn("ship"), in, nil).Err(); err != nil {
				return "", wrap(err)
			}
			return approve + out, nil
		})
	}
	for name, c := range map[string]struct {
		wrap  func(error) error
		cards int
	}{
		"the step's error":       {func(err error) error { return err }, 1},
		"within others":          {func(err error) error { return errors.Join(fmt.Errorf("shipping: %w", err), errors.New("sorry")) }, 1},
		"an error that hides it": {func(error) error { return errors.New("sorry") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.start(nil, code(c.wrap))
				w.function("card", func(string) (string, error) { return "", fmt.Errorf("Declined") })
				w.function("account", func(string) (string, error) { return `"paid"`, nil })
				w.function("ship", func(string) (string, error) { return "", fmt.Errorf("Down") })
				ref := w.begin("pay", "x")
				require.Equal(t, workflow.StatusFailed, w.wait(ref).Status)
				w.function("ship", nil)
				w.control(ref, workflow.ActionRedrive)
				require.Equal(t, `"paid"`, w.output(ref))
				require.Equal(t, c.cards, w.called("card"))
				require.Equal(t, 2, w.called("ship"))
			})
		})
	}
	inBubble(t, func(t *testing.T, w *world) { // it was terminated, so no failure is to blame
		w.start(nil, code(func(err error) error { return err }))
		w.function("card", func(string) (string, error) { return "", fmt.Errorf("Declined") })
		w.function("account", func(string) (string, error) { time.Sleep(time.Hour); return `"paid"`, nil })
		ref := w.begin("pay", "x")
		time.Sleep(90 * time.Minute)
		w.control(ref, workflow.ActionTerminate)
		w.control(ref, workflow.ActionRedrive)
		require.Equal(t, `"paid"`, w.output(ref))
		require.Equal(t, 1, w.called("card"))
	})
}

func TestRedriveIsRefusedAfterCompensation(t *testing.T) {
	code := durable.Workflow("saga", "1", func(ctx durable.Context, in string) (out string, err error) {
		var saga durable.Saga
		defer func() {
			if err != nil {
				err = errors.Join(err, saga.Compensate(ctx))
			}
		}()
		if err := durable.Call[any](ctx, fn("a"), in, nil).Err(); err != nil {
			return "", err
		}
		saga.Add(func(ctx durable.Context) error { return durable.Call[any](ctx, fn("undo-a"), in, nil).Err() })
		return durable.Call[string](ctx, fn("b"), in, nil).Get()
	})
	inBubble(t, func(t *testing.T, w *world) {
		w.start(nil, code)
		w.function("b", func(string) (string, error) { time.Sleep(time.Hour); return "", fmt.Errorf("Down") })
		for _, status := range []workflow.Status{workflow.StatusFailed, workflow.StatusCanceled} {
			ref := w.begin("saga", "x")
			synctest.Wait()
			if status == workflow.StatusCanceled {
				w.control(ref, workflow.ActionCancel)
			}
			require.Equal(t, status, w.wait(ref).Status)
			err := w.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive})
			require.ErrorIs(t, err, faas.ErrConflict)
			require.ErrorContains(t, err, "a saga of workflow saga@1 has undone what it did; start it anew")
		}
		require.Equal(t, 2, w.called("undo-a"))
	})
}

func TestForkFromAStep(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.function(name, appends(name))
		}
		w.start(nil, chain("1", "a", "b", "c"))
		ref := w.begin("chain", "x")
		require.Equal(t, `"xabc"`, w.output(ref))
		w.function("b", appends("B"))
		fork, err := w.Fork(t.Context(), ref, "b", "again")
		require.NoError(t, err)
		require.Equal(t, `"xaBc"`, w.output(fork))
		require.Equal(t, 1, w.called("a"))
		require.Equal(t, 2, w.called("b"))
		require.Equal(t, `"xabc"`, w.output(ref))
	})
}
