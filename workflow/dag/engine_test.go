package dag_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// start runs an engine over the functions.
func start(t *testing.T, limits engine.Limits, functions faas.InvokerFunc) *engine.Engine {
	languages, err := workflow.NewLanguages(dag.Language())
	require.NoError(t, err)
	registry, err := memdefinitions.New(languages)
	require.NoError(t, err)
	store := memstore.New(nil)
	eng, err := engine.New(engine.Config{Functions: functions, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store, Limits: limits})
	require.NoError(t, err)
	require.NoError(t, eng.Recover(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, eng.Close())
		require.NoError(t, registry.Close())
		require.NoError(t, store.Close())
	})
	return eng
}

func echo(_ context.Context, req *faas.Request) (*faas.Response, error) {
	body, err := io.ReadAll(req.Body.Reader())
	return &faas.Response{Body: faas.Bytes(body)}, err
}

func begin(t *testing.T, eng *engine.Engine, source, input string) workflow.ExecutionRef {
	d := workflow.Definition{Ref: faas.Ref{Name: "test"}, Language: "dag", Source: source}
	ref, err := eng.Start(t.Context(), workflow.StartRequest{Definition: &d, Input: workflow.JSON(input)})
	require.NoError(t, err)
	return ref
}

func output(t *testing.T, eng *engine.Engine, ref workflow.ExecutionRef) string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x, err := eng.Wait(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, workflow.StatusSucceeded, x.Status, "%v", x.Failure)
	b, err := x.Output.Bytes(t.Context())
	require.NoError(t, err)
	return string(b)
}

func TestOnTheEngine(t *testing.T) {
	eng := start(t, engine.Limits{}, echo)
	require.Equal(t, `[[1,"a"],[2,"a"]]`, output(t, eng, begin(t, eng, `
tasks:
  each:
    expand: {over: {from: input}}
    input: {n: {from: item}}
    tasks:
      one: {call: f, input: {from: input.n}}
      two: {wait: {for: 1ms}, needs: [one]}
    output: [{from: tasks.one.output}, a]
`, "[1, 2]")))
}

// The log is rolled over and the state saved many times, and payloads lie in the store.
func TestAMapOverManyLogs(t *testing.T) {
	eng := start(t, engine.Limits{History: 500, Snapshot: 100, InHand: 64}, echo)
	got := output(t, eng, begin(t, eng, strings.Replace(wide, "concurrency: 10", "concurrency: 50", 1), items(3000)))
	require.True(t, strings.HasPrefix(got, `[{"item":0},{"item":1},`) && strings.HasSuffix(got, `{"item":2999}]`), "%.60s", got)
}

func TestRedriveGoesOnFromWhatFailed(t *testing.T) {
	var broken atomic.Bool
	var calls atomic.Int64
	broken.Store(true)
	eng := start(t, engine.Limits{}, func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		calls.Add(1)
		if req.Function.Name == "b" && broken.Load() {
			return &faas.Response{Status: 500, Body: faas.String("broken")}, nil
		}
		return echo(ctx, req)
	})
	ref := begin(t, eng, `
tasks:
  a: {call: a}
  b: {call: b, needs: [a]}
  c: {call: c, needs: [b], input: {from: tasks.b.output}}
  after: {call: d, needs: [c], rule: all_done, input: {from: tasks.c.state}}
  join: {needs: [c, after], input: {from: tasks.after.output}}
`, "5")
	x, err := eng.Wait(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, workflow.StatusFailed, x.Status)
	require.Contains(t, x.Failure.Cause, "task b: ")
	before := calls.Load()
	broken.Store(false)
	require.NoError(t, eng.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive, Reason: "mended"}))
	require.Equal(t, `"succeeded"`, output(t, eng, ref))
	require.Equal(t, before+3, calls.Load(), "a is not called again; b, c and d are")
}
