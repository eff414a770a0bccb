package durable_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/programtest"
)

// everything opens each kind of step, in coroutines, and tidies up when it is cancelled.
func everything(ctx durable.Context, in int) (out []int, err error) {
	var saga durable.Saga
	defer func() {
		if err != nil {
			err = errors.Join(err, saga.Compensate(ctx))
		}
	}()
	saga.Add(func(ctx durable.Context) error { return durable.Call[any](ctx, fn("tidy"), nil, nil).Err() })
	ctx.Annotate("begun", map[string]string{"stage": "one"})
	timer := ctx.Timer(time.Hour)
	out, err = durable.Map(ctx, []int{in, in + 1, in + 2}, 2, func(ctx durable.Context, i, item int) (int, error) {
		n, err := durable.Call[int](ctx, fn("f"), item, nil).Get()
		if err != nil {
			return 0, err
		}
		return durable.Activity[int](ctx, "pack", n, nil).Get()
	})
	if err != nil {
		return nil, err
	}
	approve := durable.Receive[int](ctx, "approve", time.Minute)
	if durable.Select(timer, approve) == 1 {
		timer.Close()
	}
	n, err := approve.Get()
	if err != nil && !errors.Is(err, faas.ErrTimeout) {
		return nil, err
	}
	m, err := durable.Child[int](ctx, fn("ship"), n, nil).Get()
	if err != nil {
		return nil, err
	}
	region, err := durable.SideEffect(ctx, "region", func() int { return 7 })
	if err != nil {
		return nil, err
	}
	if ctx.Patched("sleep") {
		if err := ctx.Sleep(time.Duration(ctx.Random().IntN(5)) * time.Hour); err != nil {
			return nil, err
		}
	}
	return append(out, n, m, region), ctx.Signal(workflow.ExecutionRef{ID: "other"}, "done", out)
}

// again continues as new until its input is 0.
func again(ctx durable.Context, in int) (int, error) {
	n, err := durable.Call[int](ctx, fn("less"), in, nil).Get()
	if err != nil || in == 0 {
		return n, err
	}
	return 0, durable.ContinueAsNew(in - 1)
}

func TestConformance(t *testing.T) {
	all := durable.Workflow("everything", "1", everything)
	l, err := durable.New(nil, all, sequence, parallel, durable.Workflow("again", "1", again))
	require.NoError(t, err)
	fails := func(step string) func(workflow.Command, int) programtest.Outcome {
		return func(c workflow.Command, _ int) programtest.Outcome {
			if c.Step == step {
				return programtest.Outcome{Failure: &workflow.Failure{Name: "Bad", Cause: "as told"}}
			}
			return programtest.Outcome{Output: c.Payload}
		}
	}
	programtest.Run(t, programtest.Harness{
		Language: l,
		Cases: []programtest.Case{
			{Name: "everything", Source: all.Definition().Source, Input: workflow.JSON("1"), Signals: []programtest.Signal{{Name: "approve", Value: workflow.JSON("5")}}},
			{Name: "unsigned", Source: all.Definition().Source, Input: workflow.JSON("1")},
			{Name: "fails", Source: all.Definition().Source, Input: workflow.JSON("1"), Answer: fails("f#2")},
			{Name: "fails late", Source: all.Definition().Source, Input: workflow.JSON("1"), Answer: fails("child:ship")},
			{Name: "cancelled", Source: all.Definition().Source, Input: workflow.JSON("1"), CancelAt: 3},
			{Name: "sequence", Source: "sequence@1", Input: workflow.JSON("20")},
			{Name: "parallel", Source: "parallel@1", Input: workflow.JSON("20")},
			{Name: "no input that fits", Source: "parallel@1", Input: workflow.JSON(`"text"`)},
			{Name: "continues", Source: "again@1", Input: workflow.JSON("1")},
		},
		Invalid: []programtest.Invalid{{Name: "no version", Source: "everything", Paths: []string{"source"}}},
		Grow: func(n int) programtest.Case {
			return programtest.Case{Name: "sequence", Source: "sequence@1", Input: workflow.JSON(strconv.Itoa(n))}
		},
		NoSnapshots: true,
		NoGraph:     true,
	})
}
