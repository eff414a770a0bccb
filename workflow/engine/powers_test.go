package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
)

// counter is a Program that answers queries and counts the states it holds.
type counter struct {
	script
	made, released *atomic.Int64
}

func (p counter) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if s == nil {
		p.made.Add(1)
	}
	return p.script.Step(s, e)
}

func (p counter) Release(workflow.State) { p.released.Add(1) }

func (p counter) Query(s workflow.State, name string, argument workflow.Payload) (workflow.Payload, error) {
	if name != "events" {
		return workflow.Payload{}, faas.Errorf("test", "query", name, faas.ErrNotFound, "no such query")
	}
	return workflow.MarshalPayload(len(s.([]workflow.Event)))
}

func TestQueriesAndReleases(t *testing.T) {
	p := counter{script: waiting, made: new(atomic.Int64), released: new(atomic.Int64)}
	f := setUp(t, scripts{"q": p, "none": waiting}, nil)
	ref, err := f.Start(t.Context(), named("q"))
	require.NoError(t, err)
	ask := func(name string) (workflow.Payload, error) {
		return f.Query(t.Context(), ref, name, workflow.Payload{})
	}
	answer, err := ask("events")
	require.NoError(t, err)
	assert.Equal(t, "1", text(t, answer))
	_, err = ask("nothing")
	assert.ErrorIs(t, err, faas.ErrNotFound)
	f.restart(t)
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)))
	f.wait(t, ref)
	answer, err = ask("events")
	require.NoError(t, err)
	assert.Equal(t, "3", text(t, answer), "of one that has closed, too")
	other, err := f.Start(t.Context(), named("none"))
	require.NoError(t, err)
	_, err = f.Query(t.Context(), other, "events", workflow.Payload{})
	assert.ErrorIs(t, err, faas.ErrUnimplemented)
	_, err = f.Query(t.Context(), workflow.ExecutionRef{ID: "none"}, "events", workflow.Payload{})
	assert.ErrorIs(t, err, faas.ErrNotFound)
	require.NoError(t, f.Close())
	assert.Equal(t, p.made.Load(), p.released.Load(), "each state is released once")
}

// learner is a scheduler that writes down what it is told.
type learner struct {
	*fifo.Scheduler
	mu   sync.Mutex
	said []string
	warm workflow.Prewarm
}

func (l *learner) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *learner) Describe(workflow faas.Ref, g *workflow.Graph) { l.note("describe %s", workflow) }
func (l *learner) Observe(r workflow.StepRecord) {
	l.note("observe %s %s %d %v", r.Workflow, r.Function, r.Attempt, r.Failed)
}
func (l *learner) Ended(_ time.Time, x workflow.ExecutionRef) { l.note("ended") }
func (l *learner) Done(now time.Time, s *workflow.ReadyStep, r workflow.StepRecord) {
	l.note("done %s cold=%s failed=%v", r.Node, r.Cold, r.Failed)
	l.Scheduler.Done(now, s, r)
}

func (l *learner) Next(now time.Time, d *workflow.Decision) {
	l.Scheduler.Next(now, d)
	if l.warm.Node != "" {
		d.Prewarm = append(d.Prewarm, l.warm)
		l.warm = workflow.Prewarm{}
	}
}

// drawn is a tree with a graph.
type drawn struct{ tree }

func (drawn) Graph() *workflow.Graph { return &workflow.Graph{} }

type prewarmer chan workflow.Prewarm

func (p prewarmer) Prewarm(_ context.Context, w workflow.Prewarm) error {
	p <- w
	return nil
}

func TestSchedulersThatLearn(t *testing.T) {
	l := &learner{Scheduler: fifo.New(nil), warm: workflow.Prewarm{Function: next, Node: "n"}}
	warmed := make(prewarmer, 1)
	f := setUp(t, scripts{"seq": drawn{tree{1, false}}}, func(c *engine.Config) {
		c.Scheduler, c.Prewarm = l, warmed
		c.Functions = faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			req.Timing.Add(faas.PhaseStart, 3*time.Millisecond)
			req.Timing.Add(faas.PhaseRun, time.Millisecond)
			return plusOne(ctx, req)
		})
	})
	x := f.run(t, named("seq"))
	assert.Equal(t, 3*time.Millisecond, history(t, f, x.Ref)[1].Cold)
	assert.Equal(t, next, (<-warmed).Function)
	f.run(t, named("seq"))
	require.NoError(t, f.Close())
	assert.Equal(t, []string{"describe default/seq@1", "done step-0 cold=3ms failed=false", "ended", "done step-0 cold=3ms failed=false", "ended"}, l.said)
	l.said = nil
	l.Scheduler = fifo.New(nil)
	f.open(t)
	assert.Equal(t, []string{"observe default/seq@1 default/next 1 false", "observe default/seq@1 default/next 1 false"}, l.said)
}

func TestContinueLeavesChildren(t *testing.T) {
	f := setUp(t, scripts{"parent": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{childOf("child", nil), {Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandContinue, Payload: workflow.JSON(`1`)}}
		case workflow.ExecutionContinued:
			return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "never"}}
		}
		return nil
	}), "child": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		case workflow.CancelRequested:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled}}}
		}
		return nil
	})}, nil)
	ref, err := f.Start(t.Context(), named("parent"))
	require.NoError(t, err)
	child := only(t, f, "child")
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}))
	assert.Equal(t, workflow.StatusCanceled, f.wait(t, child.Ref).Status)
}

// TestSignalsArriveOnce: a sender that was killed sends again what may not have arrived, and its receiver drops
// what it has.
func TestSignalsArriveOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, scripts{"receiver": waiting2, "sender": on(func(e *workflow.Event) []workflow.Command {
			if e.Kind == workflow.ExecutionStarted {
				return []workflow.Command{
					{Kind: workflow.CommandSignal, Name: "go", Execution: workflow.ExecutionRef{ID: "r"}, Payload: workflow.JSON(`1`)},
					{Kind: workflow.CommandSignal, Name: "go", Execution: workflow.ExecutionRef{ID: "r"}, Payload: workflow.JSON(`2`)},
					{Kind: workflow.CommandWait, Step: "w", Name: "never"},
				}
			}
			return nil
		})}, nil)
		r, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "receiver"}, ID: "r"})
		require.NoError(t, err)
		_, err = f.Start(t.Context(), named("sender"))
		require.NoError(t, err)
		synctest.Wait()
		for range 3 {
			f.restart(t)
			synctest.Wait()
		}
		n := 0
		for _, e := range history(t, f, r) {
			if e.Kind == workflow.SignalReceived {
				n++
				assert.Equal(t, fmt.Sprint(n), text(t, e.Payload))
			}
		}
		assert.Equal(t, 2, n)
	})
}

// waiting2 ends with a signal that never comes.
var waiting2 = single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "end"})

func TestLogChangedBySomebodyElse(t *testing.T) {
	f := setUp(t, scripts{"w": waiting}, nil)
	ref, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	require.NoError(t, f.store.Append(t.Context(), &workflow.Batch{Execution: ref, After: 1,
		Events: []workflow.Event{{Seq: 2, Time: time.Now().UTC(), Kind: workflow.SignalReceived, Name: "x"}}}))
	assert.ErrorIs(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}), faas.ErrConflict)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "cannot be used")
	assert.NoError(t, f.Health())
	assert.ErrorIs(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}), faas.ErrConflict)
	other, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	require.NoError(t, f.Signal(t.Context(), other, "go", workflow.Payload{}))
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, other).Status)
}
