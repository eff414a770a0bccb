package durable_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func TestCancelClosesWhatIsOpenAndLetsTheCodeCleanUp(t *testing.T) {
	code := durable.Workflow("clean", "1", func(ctx durable.Context, in int) (int, error) {
		other := durable.Receive[int](ctx, "never", 0)
		err := durable.Call[any](ctx, fn("work"), nil, nil).Err()
		require.ErrorIs(t, err, faas.ErrCanceled)
		require.ErrorContains(t, err, "by the test")
		require.ErrorIs(t, ctx.Err(), faas.ErrCanceled)
		require.ErrorIs(t, other.Err(), faas.ErrCanceled)
		require.ErrorIs(t, durable.Call[any](ctx, fn("more"), nil, nil).Err(), faas.ErrCanceled, "a cancelled Context opens no step")
		_, err = durable.SideEffect(ctx, "x", func() int { panic("is not called") })
		require.ErrorIs(t, err, faas.ErrCanceled)
		require.NoError(t, durable.Call[any](ctx.Disconnected(), fn("tidy"), nil, nil).Err())
		return 0, err
	})
	h := begin(t, code, 0)
	h.cancel()
	require.Equal(t, []string{"tidy"}, h.steps())
	h.succeed("tidy", nil)
	require.Equal(t, workflow.FailureCanceled, h.failure().Name)
	h.refold(h.program)
}

func TestAScopeOfItsOwn(t *testing.T) {
	code := durable.Workflow("scope", "1", func(ctx durable.Context, in int) (string, error) {
		sub, cancel := ctx.WithCancel()
		deeper, _ := sub.WithCancel()
		a, b := durable.Call[any](sub, fn("a"), nil, nil), durable.Call[any](deeper, fn("b"), nil, nil)
		done := durable.Go(ctx, func(durable.Context) (string, error) {
			_, err := deeper.Done().Get()
			return "told", err
		})
		if err := ctx.Sleep(time.Hour); err != nil {
			return "", err
		}
		cancel()
		cancel()
		require.ErrorIs(t, a.Err(), faas.ErrCanceled)
		require.ErrorIs(t, b.Err(), faas.ErrCanceled)
		require.NoError(t, ctx.Err())
		late, _ := deeper.WithCancel()
		require.ErrorIs(t, late.Err(), faas.ErrCanceled)
		_, err := late.Done().Get()
		require.NoError(t, err)
		return done.Get()
	})
	h := begin(t, code, 0)
	require.Equal(t, []string{"a", "b", "timer:1"}, h.steps())
	h.succeed("timer:1", nil)
	require.Equal(t, `"told"`, h.output())
	require.Empty(t, h.steps())
	h.refold(h.program)
}

func TestTimeoutOfAScope(t *testing.T) {
	code := durable.Workflow("timeout", "1", func(ctx durable.Context, in int) (string, error) {
		sub, cancel := ctx.WithTimeout(time.Minute)
		defer cancel()
		s, err := durable.Call[string](sub, fn("slow"), nil, nil).Get()
		if err != nil {
			require.ErrorIs(t, err, faas.ErrTimeout)
			require.ErrorIs(t, sub.Err(), faas.ErrTimeout)
			require.NoError(t, ctx.Err())
			return "late", nil
		}
		return s, nil
	})
	h := begin(t, code, 0)
	require.Equal(t, []string{"timer:1", "slow"}, h.steps())
	h.succeed("timer:1", nil)
	require.Equal(t, `"late"`, h.output())
	h.refold(h.program)

	h = begin(t, code, 0)
	h.succeed("slow", "done")
	require.Equal(t, `"done"`, h.output())
	require.Empty(t, h.steps(), "the timer was closed")
	h.refold(h.program)

	at := durable.Workflow("at-once", "1", func(ctx durable.Context, in int) (int, error) {
		sub, cancel := ctx.WithTimeout(0)
		defer cancel()
		return 0, sub.Err()
	})
	require.Equal(t, workflow.FailureTimeout, begin(t, at, 0).failure().Name)
}

func TestSuccessAfterACancellationIsSuccess(t *testing.T) {
	code := durable.Workflow("stubborn", "1", func(ctx durable.Context, in int) (int, error) {
		_, err := ctx.Done().Get()
		return 5, err
	})
	h := begin(t, code, 0)
	require.Empty(t, h.steps())
	require.Nil(t, h.end, "waiting to be cancelled is no deadlock")
	h.cancel()
	require.Equal(t, "5", h.output())
	h.refold(h.program)
}

func TestPatchedTellsOldHistoriesFromNewOnes(t *testing.T) {
	before := durable.Workflow("patch", "1", func(ctx durable.Context, in int) (string, error) {
		if err := durable.Call[any](ctx, fn("first"), nil, nil).Err(); err != nil {
			return "", err
		}
		s, err := durable.Call[string](ctx, fn("old"), nil, nil).Get()
		if err != nil {
			return "", err
		}
		return s, ctx.Sleep(time.Hour)
	})
	after := durable.Workflow("patch", "1", func(ctx durable.Context, in int) (string, error) {
		if err := durable.Call[any](ctx, fn("first"), nil, nil).Err(); err != nil {
			return "", err
		}
		var s string
		var err error
		if ctx.Patched("use-new") {
			s, err = durable.Call[string](ctx, fn("new"), nil, nil).Get()
		} else {
			s, err = durable.Call[string](ctx, fn("old"), nil, nil).Get()
		}
		if err != nil {
			return "", err
		}
		if err := ctx.Sleep(time.Hour); err != nil {
			return "", err
		}
		require.Equal(t, s == "new", ctx.Patched("use-new"), "the answer stays")
		return s, nil
	})

	// A new execution: the marker is recorded.
	h := begin(t, after, 0)
	h.succeed("first", nil)
	require.Equal(t, []string{"patch:use-new"}, h.steps())
	h.succeed("patch:use-new", true)
	h.succeed("new", "new")
	h.succeed("timer:1", nil)
	require.Equal(t, `"new"`, h.output())
	h.refold(h.program)

	// An old one that went past the place: the old code goes on, also after one more recovery.
	h = begin(t, before, 0)
	h.succeed("first", nil)
	h.succeed("old", "old")
	due := h.command("timer:1").Due
	replay := func(program workflow.Program, log []workflow.Event) *host {
		t.Helper()
		n := &host{tb: t, program: program, now: zero}
		t.Cleanup(n.release)
		for _, e := range log {
			n.now = e.Time.Add(-time.Millisecond)
			require.NoError(t, n.event(e))
		}
		return n
	}
	for range 2 {
		h = replay(compile(t, nil, after), h.log)
		require.Equal(t, []string{"timer:1"}, h.steps())
		require.Equal(t, due, h.command("timer:1").Due)
	}
	h.succeed("timer:1", nil)
	require.Equal(t, `"old"`, h.output())
	h.refold(h.program)

	// An old one whose outcome at the place is not in the log yet: it becomes a new one.
	h = begin(t, before, 0)
	h.succeed("first", nil)
	h = replay(compile(t, nil, after), h.log)
	require.Equal(t, []string{"patch:use-new"}, h.steps())
	h.succeed("patch:use-new", true)
	require.Equal(t, []string{"new"}, h.steps())
}

func TestPatchedIsDecidedOnceForAllCoroutines(t *testing.T) {
	code := durable.Workflow("patches", "1", func(ctx durable.Context, in int) ([]bool, error) {
		a := durable.Go(ctx, func(ctx durable.Context) (bool, error) { return ctx.Patched("p"), nil })
		b := durable.Go(ctx, func(ctx durable.Context) (bool, error) { return ctx.Patched("p"), nil })
		x, _ := a.Get()
		y, _ := b.Get()
		return []bool{x, y}, nil
	})
	h := begin(t, code, 0)
	require.Equal(t, []string{"patch:p"}, h.steps())
	h.succeed("patch:p", true)
	require.Equal(t, "[true,true]", h.output())

	bad := durable.Workflow("bad", "1", func(ctx durable.Context, in int) (bool, error) { return ctx.Patched("no name"), nil })
	require.Equal(t, workflow.FailureProgram, begin(t, bad, 0).failure().Name)
}
