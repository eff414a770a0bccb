package durable_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func nothing(ctx durable.Context, in int) (int, error) { return in, nil }

func TestNewFindsEveryFault(t *testing.T) {
	_, err := durable.New(&durable.Options{Budget: -1},
		durable.Workflow("No Name", "1", nothing), durable.Workflow("a", "", nothing),
		durable.Workflow[int, int]("b", "1", nil), durable.Workflow("c", "1", nothing), durable.Workflow("c", "1", nothing))
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	require.ErrorIs(t, err, faas.ErrAlreadyExists)
	for _, s := range []string{"budget", "No Name", `"version"`, `"b@1"`, `"c@1"`} {
		require.ErrorContains(t, err, s)
	}
}

func TestCompile(t *testing.T) {
	one, two := durable.Workflow("a", "1", nothing), durable.Workflow("a", "2", nothing)
	l, err := durable.New(nil, one, two)
	require.NoError(t, err)
	require.Equal(t, "durable", l.Name())
	languages, err := workflow.NewLanguages(l)
	require.NoError(t, err)
	for _, code := range []durable.Code{one, two} {
		d := code.Definition()
		require.NoError(t, d.Validate())
		_, err := languages.Compile(&d)
		require.NoError(t, err)
	}
	a, b := one.Definition(), two.Definition()
	require.NotEqual(t, a.Digest(), b.Digest())

	a.Source = "a@3"
	_, err = l.Compile(&a)
	require.ErrorIs(t, err, faas.ErrNotFound)
	require.ErrorContains(t, err, "it has a@1, a@2")
	for _, source := range []string{"", "a", "a@", "A@1", "func main() {}"} {
		a.Source = source
		_, err = l.Compile(&a)
		var d workflow.Diagnostics
		require.True(t, errors.As(err, &d), source)
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
	}
}

func TestThereAreNoSnapshots(t *testing.T) {
	p := compile(t, nil, durable.Workflow("a", "1", nothing))
	_, err := p.Snapshot(nil)
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	_, err = p.Restore(nil, nil)
	require.ErrorIs(t, err, faas.ErrCorrupt)
}

func TestQueries(t *testing.T) {
	code := durable.Workflow("asked", "1", func(ctx durable.Context, in int) (int, error) {
		done := 0
		durable.HandleQuery(ctx, "done", func(add int) (int, error) { return done + add, nil })
		durable.HandleQuery(ctx, "raw", func(p workflow.Payload) (workflow.Payload, error) { return p, nil })
		durable.HandleQuery(ctx, "fails", func(any) (int, error) { return 0, errors.New("no") })
		durable.HandleQuery(ctx, "waits", func(any) (int, error) { return 0, ctx.Sleep(time.Hour) })
		for range 2 {
			if err := ctx.Sleep(time.Hour); err != nil {
				return 0, err
			}
			done++
		}
		return done, nil
	})
	h := begin(t, code, 0)
	q := h.program.(workflow.Querier)
	ask := func(name string, argument workflow.Payload) string {
		t.Helper()
		p, err := q.Query(h.state, name, argument)
		require.NoError(t, err)
		data, _ := p.InHand()
		return string(data)
	}
	require.Equal(t, "0", ask("done", workflow.Payload{}))
	h.succeed("timer:1", nil)
	require.Equal(t, "11", ask("done", workflow.JSON("10")))
	require.Equal(t, "x", ask("raw", workflow.Bytes("text/plain", []byte("x"))))
	h.succeed("timer:2", nil)
	require.Equal(t, "2", ask("done", workflow.Payload{}), "an execution that has ended answers too")

	_, err := q.Query(h.state, "none", workflow.Payload{})
	require.ErrorIs(t, err, faas.ErrNotFound)
	require.ErrorContains(t, err, "done, fails, raw, waits")
	_, err = q.Query(h.state, "done", workflow.JSON(`"text"`))
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = q.Query(h.state, "fails", workflow.Payload{})
	require.ErrorContains(t, err, "no")
	_, err = q.Query(h.state, "waits", workflow.Payload{})
	require.ErrorIs(t, err, faas.ErrFunction)
	_, err = q.Query(nil, "done", workflow.Payload{})
	require.ErrorIs(t, err, faas.ErrNotFound)
}

func TestReplayFindsTheFirstDifference(t *testing.T) {
	version := func(step string, out int, end error) durable.Code {
		return durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
			if step == "" {
				return out, end
			}
			if err := durable.Call[any](ctx, fn(step), nil, nil).Err(); err != nil {
				return 0, err
			}
			return out, end
		})
	}
	h := begin(t, version("f", 1, nil), 0)
	h.succeed("f", nil)
	require.NoError(t, h.event(workflow.Event{Kind: workflow.ExecutionSucceeded, Payload: h.end.Payload}))

	replay := func(code durable.Code, log []workflow.Event) error {
		l, err := durable.New(nil, code)
		require.NoError(t, err)
		return durable.Replay(l, log)
	}
	require.NoError(t, replay(version("f", 1, nil), h.log))
	require.NoError(t, replay(version("f", 1, nil), h.log[:1]), "an open execution")
	again := errors.New("no")
	for name, c := range map[string]struct {
		code durable.Code
		says string
	}{
		"another step":   {version("g", 1, nil), `at event 2 (step-succeeded): it is the outcome of a step that the code does not have open; history has step "f"`},
		"no step":        {version("", 1, nil), `at event 2 (step-succeeded) the history goes on with step "f", but the code succeeds`},
		"another output": {version("f", 2, nil), `at event 3 (execution-succeeded) the history has "1", the code "2"`},
		"a failure":      {version("f", 2, again), `at event 3 (execution-succeeded) the code fails with FunctionError: no`},
		"a new log":      {version("f", 2, durable.ContinueAsNew(1)), `the code continues as new`},
	} {
		t.Run(name, func(t *testing.T) {
			err := replay(c.code, h.log)
			require.ErrorIs(t, err, faas.ErrConflict)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.ErrorIs(t, replay(version("f", 1, nil), h.log[1:]), faas.ErrInvalidArgument)
	require.ErrorIs(t, replay(durable.Workflow("w", "2", nothing), h.log), faas.ErrNotFound)

	// A failure that was redriven: its events count as never having happened.
	h = begin(t, version("f", 1, nil), 0)
	h.log = append(h.log,
		workflow.Event{Seq: 2, Kind: workflow.StepFailed, Step: "f", Failure: &workflow.Failure{Name: "Bad"}},
		workflow.Event{Seq: 3, Kind: workflow.ExecutionFailed, Failure: &workflow.Failure{Name: "Bad"}})
	require.NoError(t, replay(version("f", 1, nil), h.log))
	require.ErrorContains(t, replay(version("g", 1, nil), h.log), "event 2")
	require.ErrorContains(t, replay(version("", 1, nil), append(h.log[:1:1], h.log[2])), "the history fails with Bad, but the code succeeds")
	h.log = append(h.log,
		workflow.Event{Seq: 4, Kind: workflow.ExecutionRedriven, Undone: []uint64{2, 3}},
		workflow.Event{Seq: 5, Kind: workflow.StepSucceeded, Step: "f"},
		workflow.Event{Seq: 6, Kind: workflow.ExecutionSucceeded, Payload: workflow.JSON("1")})
	require.NoError(t, replay(version("f", 1, nil), h.log))

	// A log that was continued, and trimmed.
	h = begin(t, version("f", 1, durable.ContinueAsNew(5)), 0)
	h.succeed("f", nil)
	log := append(h.log, workflow.Event{Seq: 3, Kind: workflow.ExecutionContinued, Payload: workflow.JSON("5"), Start: h.log[0].Start})
	require.NoError(t, replay(version("f", 1, durable.ContinueAsNew(5)), log))
	require.ErrorContains(t, replay(version("f", 1, nil), log), "the code succeeds")
	require.NoError(t, replay(version("f", 1, durable.ContinueAsNew(5)), append(log[:1:1], log[2])))
}
