package durabletest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/durable/durabletest"
)

func fn(name string) faas.Ref { return faas.Ref{Name: name} }

func TestAYearPassesAtOnce(t *testing.T) {
	code := durable.Workflow("year", "1", func(ctx durable.Context, in int) (time.Time, error) {
		err := ctx.Sleep(365 * 24 * time.Hour)
		return ctx.Now(), err
	})
	durabletest.Run(t, func(env *durabletest.Env) {
		began := time.Now()
		out, err := durabletest.Result[time.Time](env.Start("year", 0))
		require.NoError(t, err)
		require.WithinDuration(t, began.Add(365*24*time.Hour), out, time.Second)
	}, code)
}

func TestFunctionsOfTheTest(t *testing.T) {
	retry := &durable.CallOptions{StepOptions: workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{"Busy"}, Max: 3, Interval: time.Hour}}}}
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
		n, err := durable.Call[int](ctx, fn("double"), in, retry).Get()
		if err != nil {
			return 0, err
		}
		return n, durable.Call[any](ctx, fn("missing"), nil, nil).Err()
	})
	durabletest.Run(t, func(env *durabletest.Env) {
		n := 0
		durabletest.Function(env, "double", func(ctx context.Context, in int) (int, error) {
			if n++; n < 3 {
				return 0, &workflow.Failure{Name: "Busy", Cause: "come again"}
			}
			time.Sleep(time.Minute)
			return 2 * in, nil
		})
		_, err := durabletest.Result[int](env.Start("w", 4))
		require.True(t, durable.Failed(err, workflow.FailureNotFound), err)
		calls := env.Calls("double")
		require.Len(t, calls, 3)
		require.Equal(t, calls[0].Key, calls[2].Key)
		require.Equal(t, "3", calls[2].Attempt)
		require.GreaterOrEqual(t, calls[2].At.Sub(calls[0].At), 3*time.Hour)
	}, code)
}

func TestPlainErrorsAreFunctionErrors(t *testing.T) {
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
		return durable.Call[int](ctx, fn("f"), in, nil).Get()
	})
	durabletest.Run(t, func(env *durabletest.Env) {
		durabletest.Function(env, "f", func(context.Context, int) (int, error) { return 0, errors.New("out of paper") })
		_, err := durabletest.Result[int](env.Start("w", 4))
		require.True(t, durable.Failed(err, workflow.FailureFunction), err)
		require.ErrorContains(t, err, "out of paper")
	}, code)
}

func TestActivitiesSignalsAndQueries(t *testing.T) {
	code := durable.Workflow("w", "1", func(ctx durable.Context, in string) (string, error) {
		stage := "packing"
		durable.HandleQuery(ctx, "stage", func(any) (string, error) { return stage, nil })
		box, err := durable.Activity[string](ctx, "pack", in, nil).Get()
		if err != nil {
			return "", err
		}
		stage = "waiting"
		who, err := durable.Receive[string](ctx, "approve", 48*time.Hour).Get()
		if errors.Is(err, faas.ErrTimeout) {
			return box + " nobody", nil
		}
		return box + " " + who, err
	})
	durabletest.Run(t, func(env *durabletest.Env) {
		durabletest.Activity(env, "pack", func(ctx context.Context, in string) (string, error) {
			time.Sleep(time.Hour)
			return "box of " + in, nil
		})
		x := env.Start("w", "tea")
		time.Sleep(47 * time.Hour)
		answer, err := env.Engine().Query(t.Context(), x.Ref(), "stage", workflow.Payload{})
		require.NoError(t, err)
		require.Equal(t, workflow.JSON(`"waiting"`), answer)
		x.Signal("approve", "ann")
		out, err := durabletest.Result[string](x)
		require.NoError(t, err)
		require.Equal(t, "box of tea ann", out)
		require.Len(t, env.Calls("pack"), 1)

		began := time.Now()
		out, err = durabletest.Result[string](env.Start("w", "tea"))
		require.NoError(t, err)
		require.Equal(t, "box of tea nobody", out)
		require.WithinDuration(t, began.Add(49*time.Hour), time.Now(), time.Minute)

		x = env.Start("w", "tea")
		x.Control(workflow.ActionCancel, "enough")
		_, err = durabletest.Result[string](x)
		require.True(t, durable.Failed(err, workflow.FailureCanceled), err)
		require.NotEmpty(t, x.History())
	}, code)
}

func TestRestartWithChangedCode(t *testing.T) {
	version := func(patched bool) durable.Code {
		return durable.Workflow("w", "1", func(ctx durable.Context, in string) (string, error) {
			next := "old"
			if patched && ctx.Patched("new") {
				next = "new"
			}
			if err := durable.Call[any](ctx, fn(next), in, nil).Err(); err != nil {
				return "", err
			}
			if err := ctx.Sleep(time.Hour); err != nil {
				return "", err
			}
			return durable.Activity[string](ctx, "pack", next, nil).Get()
		})
	}
	gone := durable.Workflow("gone", "1", func(durable.Context, int) (int, error) { return 1, nil })
	durabletest.Run(t, func(env *durabletest.Env) {
		for _, name := range []string{"old", "new"} {
			durabletest.Function(env, name, func(context.Context, string) (any, error) { return nil, nil })
		}
		durabletest.Activity(env, "pack", func(_ context.Context, in string) (string, error) { return in, nil })
		env.Start("gone", 1).Wait()
		before := env.Start("w", "a")
		time.Sleep(time.Minute)
		env.Restart()
		env.Restart(version(true))
		after := env.Start("w", "b")
		for x, want := range map[*durabletest.Execution]string{before: "old", after: "new"} {
			out, err := durabletest.Result[string](x)
			require.NoError(t, err)
			require.Equal(t, want, out)
		}
		require.Len(t, env.Calls("old"), 1)
		require.Len(t, env.Calls("pack"), 2)
	}, version(false), gone)
}
