package engine_test

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
)

// gate is a function that waits until it is opened, and remembers what it was asked.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	called  chan string
	headers []string // key and attempt
}

func newGate() *gate { return &gate{open: make(chan struct{}), called: make(chan string, 10_000)} }

func (g *gate) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	g.mu.Lock()
	g.headers = append(g.headers, req.Header.Get(workflow.HeaderIdempotencyKey)+" "+req.Header.Get(workflow.HeaderAttempt))
	open := g.open
	g.mu.Unlock()
	g.called <- req.ID
	select {
	case <-open:
		return plusOne(ctx, req)
	case <-ctx.Done():
		return nil, faas.ContextError(ctx, "function", "run", "")
	}
}

func TestRecoveryGoesOn(t *testing.T) {
	for _, snapshot := range []int{1, 1000} {
		t.Run(fmt.Sprintf("a snapshot every %d events", snapshot), func(t *testing.T) {
			g := newGate()
			f := setUp(t, scripts{"seq": tree{5, false}}, func(c *engine.Config) { c.Functions, c.Limits.Snapshot = g, snapshot })
			ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "seq"}, ID: "x"})
			require.NoError(t, err)
			<-g.called
			f.restart(t)
			<-g.called
			f.restart(t)
			close(g.open)
			x := f.wait(t, ref)
			assert.Equal(t, "15", text(t, x.Output))
			assert.Equal(t, []string{"default/x#1/step-0 1", "default/x#1/step-0 2", "default/x#1/step-0 3", "default/x#1/step-1 1"}, g.headers[:4])
		})
	}
}

func TestRecoveryOfTimersRetriesAndDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retried := callNext("a", `x`)
		retried.Options = &workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{workflow.AnyFailure}, Max: 3, Interval: time.Hour, Rate: 1}}}
		f := setUp(t, scripts{
			"timer": on(func(e *workflow.Event) []workflow.Command {
				if e.Kind == workflow.ExecutionStarted {
					return []workflow.Command{{Kind: workflow.CommandTimer, Step: "t", Due: e.Time.Add(time.Hour)}}
				}
				if e.Kind == workflow.StepSucceeded {
					return succeed(`1`)
				}
				return nil
			}),
			"retried": single(retried),
			"expires": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"}),
		}, nil)
		timer, err := f.Start(t.Context(), named("timer"))
		require.NoError(t, err)
		retry, err := f.Start(t.Context(), named("retried"))
		require.NoError(t, err)
		expires, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "expires"}, Timeout: 90 * time.Minute})
		require.NoError(t, err)
		for range 3 {
			time.Sleep(25 * time.Minute)
			f.restart(t)
		}
		closed := map[string]time.Duration{}
		for name, ref := range map[string]workflow.ExecutionRef{"timer": timer, "retry": retry, "expires": expires} {
			x, err := f.Wait(t.Context(), ref)
			require.NoError(t, err)
			closed[name] = x.Closed.Sub(x.Started)
		}
		assert.Equal(t, map[string]time.Duration{"timer": time.Hour, "retry": 3 * time.Hour, "expires": 90 * time.Minute}, closed)
	})
}

func TestRecoveryOfWaitsAndSuspension(t *testing.T) {
	f := setUp(t, scripts{"w": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"}), "c": single(callNext("a", `1`))}, nil)
	ref, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	f.restart(t)
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)))
	assert.Equal(t, "1", text(t, f.wait(t, ref).Output))

	g := newGate()
	f.config.Functions = g
	f.restart(t)
	ref, err = f.Start(t.Context(), named("c"))
	require.NoError(t, err)
	<-g.called
	require.NoError(t, f.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionSuspend}))
	f.restart(t)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, "it is suspended", x.Blocked)
	assert.Equal(t, "operator", x.Steps[0].Owner)
	close(g.open)
	require.NoError(t, f.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionResume}))
	assert.Equal(t, "2", text(t, f.wait(t, ref).Output))
	assert.Equal(t, []string{ref.Key("a") + " 1", ref.Key("a") + " 2"}, g.headers)
}

func TestRecoveryWithoutTheCode(t *testing.T) {
	programs := scripts{"w": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"}), "other": tree{1, false}}
	f := setUp(t, programs, nil)
	ref, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	other, err := workflow.NewLanguages(scripts{"other": tree{1, false}})
	require.NoError(t, err)
	all := f.config.Languages
	f.config.Languages = other
	f.restart(t)
	assert.Equal(t, workflow.StatusSucceeded, f.run(t, named("other")).Status)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "its code is not in this process")
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)), "a signal is a fact: it is recorded")
	assert.ErrorIs(t, f.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive}), faas.ErrNotFound)
	f.config.Languages = all
	f.restart(t)
	assert.Equal(t, "1", text(t, f.wait(t, ref).Output))
}

// corruptStore says of one execution that its log is corrupt.
type corruptStore struct {
	workflow.Store
	id string
}

func (s corruptStore) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return func(yield func(*workflow.Recovered, error) bool) {
		for r, err := range s.Store.Recover(ctx) {
			if r.Record.Ref.ID == s.id {
				r, err = &workflow.Recovered{Record: r.Record}, faas.Errorf("workflow store", "recover", s.id, faas.ErrCorrupt, "file 7 offset 12")
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestRecoveryOfACorruptLog(t *testing.T) {
	f := setUp(t, scripts{"w": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"})}, nil)
	bad, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "w"}, ID: "bad"})
	require.NoError(t, err)
	good, err := f.Start(t.Context(), named("w"))
	require.NoError(t, err)
	f.config.Store = corruptStore{f.store, "bad"}
	f.restart(t)
	x, err := f.Explain(t.Context(), bad)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "file 7 offset 12")
	assert.ErrorIs(t, f.Signal(t.Context(), bad, "go", workflow.Payload{}), faas.ErrCorrupt)
	require.NoError(t, f.Signal(t.Context(), good, "go", workflow.JSON(`1`)))
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, good).Status)
}

func TestHistoryThatDoesNotFit(t *testing.T) {
	step := "a"
	f := setUp(t, scripts{"edited": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{callNext(step, `1`)}
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		}
		return nil
	})}, nil)
	ref, err := f.Start(t.Context(), named("edited"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		page, err := f.History(t.Context(), ref, workflow.HistoryQuery{})
		return err == nil && len(page.Events) == 2
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, f.Close())
	step = "b" // the code was changed
	f.restart(t)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "does not accept its history")
	assert.Contains(t, x.Blocked, `"a"`)
	step = "a"
	require.NoError(t, f.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive}))
	x, err = f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Empty(t, x.Blocked)
	assert.Equal(t, "signal go", x.Steps[0].Owner)
	step = "b"
	f.restart(t)
	require.NoError(t, f.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionTerminate, Reason: "enough"}))
	closed := f.wait(t, ref)
	assert.Equal(t, workflow.StatusTerminated, closed.Status)
	assert.Contains(t, closed.Failure.Cause, "enough")
}

func TestDefinitionDeletedMidRun(t *testing.T) {
	g := newGate()
	f := setUp(t, scripts{"seq": tree{5, false}}, func(c *engine.Config) { c.Functions = g })
	ref, err := f.Start(t.Context(), named("seq"))
	require.NoError(t, err)
	<-g.called
	require.NoError(t, f.config.Registry.Delete(t.Context(), faas.Ref{Name: "seq"}))
	f.restart(t)
	close(g.open)
	assert.Equal(t, "15", text(t, f.wait(t, ref).Output))
	_, err = f.Start(t.Context(), named("seq"))
	assert.ErrorIs(t, err, faas.ErrNotFound)
}

func TestManyExecutionsRecover(t *testing.T) {
	g := newGate()
	f := setUp(t, scripts{"par": tree{10, true}}, func(c *engine.Config) { c.Functions = g })
	var refs []workflow.ExecutionRef
	for range 200 {
		ref, err := f.Start(t.Context(), named("par"))
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	f.restart(t)
	close(g.open)
	for _, ref := range refs {
		assert.Equal(t, "55", text(t, f.wait(t, ref).Output))
	}
	counts := map[string]int{}
	for _, h := range g.headers {
		key, _, _ := strings.Cut(h, " ")
		counts[key]++
	}
	assert.Len(t, counts, 2000)
	for key, n := range counts {
		assert.LessOrEqual(t, n, 2, key)
	}
}

// loop counts to three in as many logs; each log has one call with the same step ID.
func loop() script {
	return on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted, workflow.ExecutionContinued:
			data, _ := e.Payload.InHand()
			if string(data) == "3" {
				return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
			}
			return []workflow.Command{callNext("a", string(data))}
		case workflow.StepSucceeded:
			if e.Step == "w" {
				return succeed(`"done"`)
			}
			return []workflow.Command{{Kind: workflow.CommandContinue, Payload: e.Payload}}
		}
		return nil
	})
}

func TestContinueAsNew(t *testing.T) {
	g := newGate()
	f := setUp(t, scripts{"loop": loop()}, func(c *engine.Config) { c.Functions = g })
	ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "loop"}, ID: "x", Input: workflow.JSON(`0`)})
	require.NoError(t, err)
	<-g.called
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)), "nobody waits for it before the last log")
	close(g.open)
	x := f.wait(t, ref)
	assert.Equal(t, `"done"`, text(t, x.Output))
	assert.Equal(t, 4, x.Logs)
	assert.Equal(t, []string{"default/x#1/a 1", "default/x#1.2/a 1", "default/x#1.3/a 1"}, g.headers)
	page, err := f.History(t.Context(), ref, workflow.HistoryQuery{})
	require.NoError(t, err)
	assert.Equal(t, workflow.ExecutionStarted, page.Events[0].Kind)
	assert.Equal(t, workflow.ExecutionContinued, page.Events[1].Kind)
	assert.Equal(t, workflow.SignalReceived, page.Events[2].Kind)
	assert.Len(t, page.Events, 5)

	g2 := newGate()
	f.config.Functions = g2
	f.restart(t)
	ref, err = f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "loop"}, Input: workflow.JSON(`1`)})
	require.NoError(t, err)
	<-g2.called
	g2.mu.Lock()
	close(g2.open)
	g2.open = make(chan struct{})
	g2.mu.Unlock()
	<-g2.called // in the second log
	f.restart(t)
	<-g2.called
	close(g2.open)
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}))
	assert.Equal(t, `"done"`, text(t, f.wait(t, ref).Output))
}

func TestLogsAreContinuedByThemselves(t *testing.T) {
	f := setUp(t, scripts{"seq": tree{500, false}}, func(c *engine.Config) { c.Limits.History, c.Limits.Snapshot = 50, 10 })
	x := f.run(t, named("seq"))
	assert.Equal(t, strconv.Itoa(500*501/2), text(t, x.Output))
	assert.Greater(t, x.Logs, 8)
	page, err := f.History(t.Context(), x.Ref, workflow.HistoryQuery{Limit: workflow.MaxPage})
	require.NoError(t, err)
	assert.Less(t, len(page.Events), 60)
	back, err := f.History(t.Context(), x.Ref, workflow.HistoryQuery{Limit: workflow.MaxPage, Reverse: true})
	require.NoError(t, err)
	assert.Equal(t, page.Events[len(page.Events)-1].Seq, back.Events[0].Seq)

	g := newGate()
	f.config.Functions = g
	f.restart(t)
	ref, err := f.Start(t.Context(), named("seq"))
	require.NoError(t, err)
	<-g.called
	close(g.open)
	for range 150 {
		<-g.called
	}
	g.mu.Lock()
	g.open = make(chan struct{})
	g.mu.Unlock()
	f.restart(t)
	close(g.open)
	assert.Equal(t, strconv.Itoa(500*501/2), text(t, f.wait(t, ref).Output))
}
