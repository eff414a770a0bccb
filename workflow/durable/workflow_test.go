package durable_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func TestOneStepAfterTheOther(t *testing.T) {
	code := durable.Workflow("sum", "1", func(ctx durable.Context, in int) (int, error) {
		sum := 0
		for i := range in {
			n, err := durable.Call[int](ctx, fn("double"), i, nil).Get()
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	h := begin(t, code, 3)
	for i, step := range []string{"double", "double#2", "double#3"} {
		require.Equal(t, []string{step}, h.steps())
		require.Equal(t, "double", h.command(step).Node)
		h.succeed(step, 2*i)
	}
	require.Equal(t, "6", h.output())
	h.refold(h.program)
}

func TestFailuresAreErrorsWithAName(t *testing.T) {
	var got error
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
		_, got = durable.Call[int](ctx, fn("charge"), nil, nil).Get()
		return 0, fmt.Errorf("cannot pay: %w", got)
	})
	h := begin(t, code, 0)
	h.fail("charge", "CardDeclined")
	require.ErrorIs(t, got, faas.ErrFunction)
	require.True(t, durable.Failed(got, "CardDeclined"))
	f := h.failure()
	require.Equal(t, "CardDeclined", f.Name)
	require.Contains(t, f.Cause, "cannot pay")

	h = begin(t, code, 0)
	h.fail("charge", workflow.FailureTimeout)
	require.ErrorIs(t, got, faas.ErrTimeout)

	plain := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) { return 0, errors.New("no") })
	require.Equal(t, &workflow.Failure{Name: workflow.FailureFunction, Cause: "no"}, begin(t, plain, 0).failure())
}

func TestStepsInParallelEndInAnyOrder(t *testing.T) {
	code := durable.Workflow("all", "1", func(ctx durable.Context, in []string) (string, error) {
		var futures []durable.Future[string]
		for _, s := range in {
			futures = append(futures, durable.Call[string](ctx, fn("upper"), s, nil))
		}
		all := ""
		for _, f := range futures {
			s, err := f.Get()
			if err != nil {
				return "", err
			}
			all += s
		}
		return all, nil
	})
	h := begin(t, code, []string{"a", "b", "c"})
	require.Equal(t, []string{"upper", "upper#2", "upper#3"}, h.steps())
	h.succeed("upper#3", "C")
	h.succeed("upper", "A")
	require.Nil(t, h.end)
	h.succeed("upper#2", "B")
	require.Equal(t, `"ABC"`, h.output())
	h.refold(h.program)
}

func TestEveryKindOfStep(t *testing.T) {
	type answer struct{ Name string }
	options := &durable.CallOptions{Name: "pack-it", StepOptions: workflow.StepOptions{Timeout: time.Second, Pool: "hands"}}
	code := durable.Workflow("kinds", "1", func(ctx durable.Context, in string) ([]string, error) {
		a, err := durable.Activity[answer](ctx, "Pack", in, options).Get()
		if err != nil {
			return nil, err
		}
		c, err := durable.Child[string](ctx, fn("ship"), a, nil).Get()
		if err != nil {
			return nil, err
		}
		if err := ctx.Sleep(time.Hour); err != nil {
			return nil, err
		}
		s, err := durable.Receive[string](ctx, "approve", time.Minute).Get()
		if err != nil {
			return nil, err
		}
		region, err := durable.SideEffect(ctx, "region", func() string { return "eu" })
		return []string{a.Name, c, s, region}, err
	})
	h := begin(t, code, "x")
	c := h.command("activity:pack-it")
	require.Equal(t, "Pack", c.Name)
	require.Same(t, &options.StepOptions, c.Options)
	h.succeed("activity:pack-it", answer{"box"})
	require.Equal(t, fn("ship").WithDefaults(), h.command("child:ship").Target)
	h.succeed("child:ship", "at sea")
	require.Equal(t, h.now.Add(time.Hour), h.command("timer:1").Due)
	h.succeed("timer:1", nil)
	require.Equal(t, h.now.Add(time.Minute), h.command("signal:approve").Due)
	h.succeed("signal:approve", "yes")
	require.Equal(t, workflow.JSON(`"eu"`), h.command("record:region").Payload)
	h.succeed("record:region", "us")
	require.Equal(t, `["box","at sea","yes","us"]`, h.output())
	h.refold(h.program)
}

func TestSelectReturnsTheFirstThatIsReady(t *testing.T) {
	code := durable.Workflow("select", "1", func(ctx durable.Context, in int) (string, error) {
		approve, timeout := durable.Receive[string](ctx, "approve", 0), ctx.Timer(time.Hour)
		switch durable.Select(approve, timeout) {
		case 0:
			timeout.Close()
			require.ErrorIs(t, timeout.Err(), faas.ErrCanceled)
			return approve.Get()
		default:
			approve.Close()
			return "late", nil
		}
	})
	h := begin(t, code, 0)
	h.succeed("signal:approve", "yes")
	require.Equal(t, `"yes"`, h.output())
	require.Empty(t, h.steps(), "the timer was closed")
	h.refold(h.program)

	h = begin(t, code, 0)
	h.succeed("timer:1", nil)
	require.Equal(t, `"late"`, h.output())
	h.refold(h.program)

	require.Equal(t, -1, durable.Select())
}

func TestCoroutinesTakeTurns(t *testing.T) {
	code := durable.Workflow("go", "1", func(ctx durable.Context, in int) (string, error) {
		text := ""
		say := func(s string) { text += s }
		var futures []durable.Future[int]
		for i := range 3 {
			futures = append(futures, durable.Go(ctx, func(ctx durable.Context) (int, error) {
				say(fmt.Sprint("a", i))
				n, err := durable.Call[int](ctx, fn("f"), i, nil).Get()
				say(fmt.Sprint("b", i))
				return n, err
			}))
		}
		say("main")
		sum := 0
		for _, f := range futures {
			n, err := f.Get()
			if err != nil {
				return "", err
			}
			sum += n
		}
		return fmt.Sprint(text, sum), nil
	})
	h := begin(t, code, 0)
	h.succeed("f#2", 20)
	h.succeed("f", 10)
	h.succeed("f#3", 30)
	require.Equal(t, `"maina0a1a2b1b0b260"`, h.output())
	h.refold(h.program)
}

func TestMapRunsUpToTheLimitAndStopsAtTheFirstError(t *testing.T) {
	code := durable.Workflow("map", "1", func(ctx durable.Context, in []int) ([]int, error) {
		return durable.Map(ctx, in, 2, func(ctx durable.Context, i, item int) (int, error) {
			return durable.Call[int](ctx, fn("f"), item, nil).Get()
		})
	})
	h := begin(t, code, []int{1, 2, 3, 4})
	require.Equal(t, []string{"f", "f#2"}, h.steps())
	h.succeed("f#2", 4)
	require.Equal(t, []string{"f", "f#3"}, h.steps())
	h.succeed("f#3", 9)
	h.succeed("f", 1)
	h.succeed("f#4", 16)
	require.Equal(t, `[1,4,9,16]`, h.output())
	h.refold(h.program)

	h = begin(t, code, []int{1, 2, 3, 4})
	h.fail("f#2", "Broken")
	require.Equal(t, "Broken", h.failure().Name)
	require.Empty(t, h.steps(), "the other one was closed, and no more opened")
	h.refold(h.program)

	require.Equal(t, `[]`, begin(t, code, []int{}).output())
}

func TestMutexKeepsSectionsApart(t *testing.T) {
	code := durable.Workflow("mutex", "1", func(ctx durable.Context, in int) (string, error) {
		var mu durable.Mutex
		text := ""
		_, err := durable.Map(ctx, []string{"a", "b", "c"}, 0, func(ctx durable.Context, i int, s string) (int, error) {
			mu.Lock(ctx)
			defer mu.Unlock(ctx)
			text += s
			err := durable.Call[any](ctx, fn("f"), s, nil).Err()
			text += s
			return 0, err
		})
		return text, err
	})
	h := begin(t, code, 0)
	for _, step := range []string{"f", "f#2", "f#3"} {
		require.Equal(t, []string{step}, h.steps())
		h.succeed(step, nil)
	}
	require.Equal(t, `"aabbcc"`, h.output())
	h.refold(h.program)
}

func TestSagaUndoesInReverseEvenWhenCancelled(t *testing.T) {
	code := durable.Workflow("saga", "1", func(ctx durable.Context, in int) (out string, err error) {
		var saga durable.Saga
		defer func() {
			if err != nil {
				err = errors.Join(err, saga.Compensate(ctx))
			}
		}()
		for _, what := range []string{"hotel", "flight", "car"} {
			if err := durable.Call[any](ctx, fn("book-"+what), nil, nil).Err(); err != nil {
				return "", err
			}
			saga.Add(func(ctx durable.Context) error { return durable.Call[any](ctx, fn("cancel-"+what), nil, nil).Err() })
		}
		return "booked", nil
	})
	h := begin(t, code, 0)
	h.succeed("book-hotel", nil)
	h.succeed("book-flight", nil)
	h.fail("book-car", "SoldOut")
	require.Equal(t, []string{"cancel-flight"}, h.steps())
	h.fail("cancel-flight", "Broken")
	h.succeed("cancel-hotel", nil)
	f := h.failure()
	require.Equal(t, "SoldOut", f.Name)
	require.Contains(t, f.Cause, "cancel-flight")
	h.refold(h.program)

	h = begin(t, code, 0)
	h.succeed("book-hotel", nil)
	h.cancel()
	require.Equal(t, []string{"cancel-hotel"}, h.steps(), "compensation runs although the execution is cancelled")
	h.succeed("cancel-hotel", nil)
	require.Equal(t, workflow.FailureCanceled, h.failure().Name)
	h.refold(h.program)
}

func TestContinueAsNewBeginsALogWithStepsOfItsOwn(t *testing.T) {
	code := durable.Workflow("loop", "1", func(ctx durable.Context, in int) (int, error) {
		if in == 0 {
			return 7, nil
		}
		require.Equal(t, uint64(1), ctx.Events())
		for range 2 {
			if err := durable.Call[any](ctx, fn("tick"), in, nil).Err(); err != nil {
				return 0, err
			}
		}
		return 0, durable.ContinueAsNew(in - 1)
	})
	h := begin(t, code, 2)
	h.succeed("tick", nil)
	h.succeed("tick#2", nil)
	again := func() {
		t.Helper()
		require.Equal(t, workflow.CommandContinue, h.end.Kind)
		input := h.end.Payload
		h.end = nil
		require.NoError(t, h.event(workflow.Event{Kind: workflow.ExecutionContinued, Payload: input, Start: start(code)}))
	}
	again()
	require.Equal(t, []string{"tick"}, h.steps())
	h.succeed("tick", nil)
	h.succeed("tick#2", nil)
	again()
	require.Equal(t, "7", h.output())
	h.refold(h.program)
}

func TestChanceIsTheExecutionsOwn(t *testing.T) {
	code := durable.Workflow("chance", "1", func(ctx durable.Context, in int) ([]any, error) {
		a := []any{ctx.Random().IntN(1000), ctx.UUID(), ctx.UUID(), ctx.Now()}
		err := ctx.Sleep(time.Hour)
		return append(a, ctx.Random().IntN(1000), ctx.Now()), err
	})
	h := begin(t, code, 0)
	h.succeed("timer:1", nil)
	out := h.output()
	h.refold(h.program)
	other := begin(t, code, 0)
	other.succeed("timer:1", nil)
	require.Equal(t, out, other.output())
}

func TestAnnotateSignalAndTokens(t *testing.T) {
	other := workflow.ExecutionRef{ID: "other"}
	code := durable.Workflow("talk", "1", func(ctx durable.Context, in int) (string, error) {
		require.Equal(t, "x", ctx.Execution().ID)
		ctx.Annotate("asking", map[string]string{"stage": "ask"})
		if err := ctx.Signal(other, "hello", map[string]int{"n": 1}); err != nil {
			return "", err
		}
		require.ErrorIs(t, ctx.Signal(other, "hello", func() {}), faas.ErrInvalidArgument)
		answer := durable.Activity[string](ctx, "review", nil, nil)
		if err := durable.Call[any](ctx, fn("mail"), answer.Token(), nil).Err(); err != nil {
			return "", err
		}
		return answer.Get()
	})
	h := begin(t, code, 0)
	require.Equal(t, workflow.CommandAnnotate, h.commands[0][0].Kind)
	require.Equal(t, "asking", h.commands[0][0].Note)
	require.Equal(t, workflow.CommandSignal, h.commands[0][1].Kind)
	require.Equal(t, workflow.JSON(`{"n":1}`), h.commands[0][1].Payload)
	var text string
	require.NoError(t, h.command("mail").Payload.Unmarshal(t.Context(), &text))
	token, err := workflow.ParseToken(text)
	require.NoError(t, err)
	require.True(t, token.Verify(text, []byte("secret")))
	require.Equal(t, "activity:review", token.Step)
	h.succeed("mail", nil)
	h.succeed("activity:review", "fine")
	require.Equal(t, `"fine"`, h.output())
}

func TestValuesOfOtherMediaTypes(t *testing.T) {
	code := durable.Workflow("media", "1", func(ctx durable.Context, in int) (workflow.Payload, error) {
		raw, err := durable.Call[[]byte](ctx, fn("f"), workflow.Bytes("text/plain", []byte("in")), nil).Get()
		if err != nil {
			return workflow.Payload{}, err
		}
		text, err := durable.Call[string](ctx, fn("f"), nil, nil).Get()
		if err != nil {
			return workflow.Payload{}, err
		}
		_, err = durable.Call[int](ctx, fn("f"), nil, nil).Get()
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
		_, err = durable.Call[int](ctx, fn("f"), nil, nil).Get()
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
		return workflow.Bytes("text/plain", append(raw, text...)), nil
	})
	h := begin(t, code, 0)
	require.Equal(t, "text/plain", h.command("f").Payload.MediaType())
	h.succeed("f", workflow.Bytes("image/png", []byte("raw ")))
	require.True(t, h.command("f#2").Payload.IsZero())
	h.succeed("f#2", workflow.Bytes("text/plain", []byte("text")))
	h.succeed("f#3", workflow.Bytes("text/plain", []byte("1")))
	h.succeed("f#4", "no number")
	require.Equal(t, "raw text", h.output())
}

func TestArgumentsThatAreWrongAreErrorsAndOpenNothing(t *testing.T) {
	code := durable.Workflow("wrong", "1", func(ctx durable.Context, in int) (int, error) {
		for _, err := range []error{
			durable.Call[any](ctx, fn("No Name"), nil, nil).Err(),
			durable.Call[any](ctx, fn("f"), func() {}, nil).Err(),
			durable.Call[any](ctx, fn("f"), nil, &durable.CallOptions{Name: "no name"}).Err(),
			durable.Call[any](ctx, fn("f"), nil, &durable.CallOptions{StepOptions: workflow.StepOptions{Timeout: -1}}).Err(),
			durable.Activity[any](ctx, "", nil, nil).Err(),
			durable.Activity[any](ctx, "a#2", nil, nil).Err(),
			durable.Child[any](ctx, faas.Ref{}, nil, nil).Err(),
			durable.Receive[any](ctx, string(make([]byte, 300)), 0).Err(),
		} {
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
		}
		_, err := durable.SideEffect(ctx, "no name", func() int { return 1 })
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
		return 1, ctx.Sleep(-time.Second)
	})
	h := begin(t, code, 0)
	require.Equal(t, "1", h.output())
	require.Len(t, h.commands[0], 1)
}
