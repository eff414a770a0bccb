package engine_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
)

func childOf(name string, o *workflow.ChildOptions) workflow.Command {
	return workflow.Command{Kind: workflow.CommandChild, Step: "c", Target: faas.Ref{Name: name}, Payload: workflow.JSON(`1`), Child: o}
}

// only returns the one execution of a workflow.
func only(t testing.TB, f *fixture, name string) workflow.Execution {
	var page workflow.ExecutionPage
	require.Eventually(t, func() bool {
		var err error
		page, err = f.List(t.Context(), workflow.ExecutionQuery{Workflow: name})
		return err == nil && len(page.Executions) == 1
	}, 10*time.Second, time.Millisecond)
	return page.Executions[0]
}

var waiting = single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"})

func TestChildren(t *testing.T) {
	f := setUp(t, scripts{
		"parent": single(childOf("child", &workflow.ChildOptions{Attributes: map[string]string{"of": "parent"}})),
		"child": on(func(e *workflow.Event) []workflow.Command {
			if e.Kind == workflow.ExecutionStarted {
				data, _ := e.Payload.InHand()
				return []workflow.Command{callNext("a", string(data))}
			}
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: workflow.Bytes("", []byte(`"`+strings.Repeat("x", 50_000)+`"`))}}
		}),
		"missing":  single(childOf("none", nil)),
		"failing":  single(childOf("fails", nil)),
		"fails":    single(callNext("a", `x`)),
		"inline":   single(workflow.Command{Kind: workflow.CommandChild, Step: "c", Child: &workflow.ChildOptions{ID: "mine", Definition: &workflow.Definition{Language: "script", Source: "child"}}, Payload: workflow.JSON(`5`)}),
		"detached": single(childOf("waits", &workflow.ChildOptions{ID: "on-its-own", Detached: true})),
		"waits":    waiting,
	}, nil)
	x := f.run(t, named("parent"))
	require.Equal(t, workflow.StatusSucceeded, x.Status)
	assert.Len(t, text(t, x.Output), 50_002)
	child := only(t, f, "child")
	assert.Equal(t, x.Ref, child.Parent.Execution)
	assert.Equal(t, "parent", child.Attributes["of"])
	assert.Equal(t, workflow.FailureNotFound, f.run(t, named("missing")).Failure.Name)
	assert.Equal(t, workflow.FailurePlatform, f.run(t, named("failing")).Failure.Name)
	assert.Equal(t, workflow.StatusSucceeded, f.run(t, named("inline")).Status)
	_, err := f.Get(t.Context(), workflow.ExecutionRef{ID: "mine"})
	assert.NoError(t, err)
	assert.Equal(t, `"on-its-own"`, text(t, f.run(t, named("detached")).Output))
	detached, err := f.Get(t.Context(), workflow.ExecutionRef{ID: "on-its-own"})
	require.NoError(t, err)
	assert.Equal(t, workflow.StatusRunning, detached.Status)
}

func TestChildrenOverARestart(t *testing.T) {
	f := setUp(t, scripts{"parent": single(childOf("waits", nil)), "waits": waiting}, nil)
	ref, err := f.Start(t.Context(), named("parent"))
	require.NoError(t, err)
	child := only(t, f, "waits")
	f.restart(t)
	assert.Equal(t, child.Ref, only(t, f, "waits").Ref, "it is found again")
	require.NoError(t, f.Signal(t.Context(), child.Ref, "go", workflow.JSON(`9`)))
	assert.Equal(t, "9", text(t, f.wait(t, ref).Output))

	// A child that closes while its parent is not there.
	ref, err = f.Start(t.Context(), named("parent"))
	require.NoError(t, err)
	var open workflow.Execution
	require.Eventually(t, func() bool {
		page, _ := f.List(t.Context(), workflow.ExecutionQuery{Workflow: "waits", Statuses: []workflow.Status{workflow.StatusRunning}})
		if len(page.Executions) == 1 {
			open = page.Executions[0]
		}
		return len(page.Executions) == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, f.Close())
	log := []workflow.Event{{Seq: 2, Time: time.Now().UTC(), Kind: workflow.ExecutionSucceeded, Payload: workflow.JSON(`10`)}}
	open.Status, open.Closed, open.Keep, open.Output = workflow.StatusSucceeded, log[0].Time, log[0].Time.Add(time.Hour), log[0].Payload
	require.NoError(t, f.store.Append(t.Context(), &workflow.Batch{Execution: open.Ref, After: 1, Events: log, Record: &open}))
	f.restart(t)
	assert.Equal(t, "10", text(t, f.wait(t, ref).Output))
}

func TestParentsThatEndFirst(t *testing.T) {
	for policy, want := range map[workflow.OnParentClose]workflow.Status{
		workflow.ChildTerminates: workflow.StatusTerminated,
		workflow.ChildCancels:    workflow.StatusCanceled,
		workflow.ChildStays:      workflow.StatusRunning,
	} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			obedient := on(func(e *workflow.Event) []workflow.Command {
				switch e.Kind {
				case workflow.ExecutionStarted:
					return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go"}}
				case workflow.CancelRequested:
					return []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled}}}
				}
				return nil
			})
			f := setUp(t, scripts{"parent": single(childOf("child", &workflow.ChildOptions{OnClose: policy})), "child": obedient}, nil)
			ref, err := f.Start(t.Context(), named("parent"))
			require.NoError(t, err)
			child := only(t, f, "child")
			require.NoError(t, control(t, f, ref, workflow.ActionTerminate))
			if policy == workflow.ChildStays {
				f.restart(t)
				assert.Equal(t, want, only(t, f, "child").Status)
				return
			}
			assert.Equal(t, want, f.wait(t, child.Ref).Status)
		})
	}
}

func TestOrphansAreFoundAfterARestart(t *testing.T) {
	f := setUp(t, scripts{"parent": single(childOf("waits", nil)), "waits": waiting}, nil)
	ref, err := f.Start(t.Context(), named("parent"))
	require.NoError(t, err)
	child := only(t, f, "waits")
	require.NoError(t, f.Close())
	// The parent was terminated, and then the power failed.
	parent, err := f.store.Get(t.Context(), ref)
	require.NoError(t, err)
	log := []workflow.Event{{Seq: 2, Time: time.Now().UTC(), Kind: workflow.ExecutionTerminated}}
	parent.Status, parent.Keep = workflow.StatusTerminated, time.Now().Add(time.Hour)
	require.NoError(t, f.store.Append(t.Context(), &workflow.Batch{Execution: ref, After: 1, Events: log, Record: &parent}))
	f.restart(t)
	assert.Equal(t, workflow.StatusTerminated, f.wait(t, child.Ref).Status)
}

func TestClosedStepCancelsItsChild(t *testing.T) {
	f := setUp(t, scripts{"parent": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{childOf("child", nil), {Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		case workflow.StepSucceeded:
			if e.Step == "w" {
				return []workflow.Command{{Kind: workflow.CommandClose, Step: "c"}, {Kind: workflow.CommandWait, Step: "w2", Name: "never"}}
			}
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

func TestRetriedChildIsANewExecution(t *testing.T) {
	c := childOf("child", nil)
	c.Options = &workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{workflow.AnyFailure}, Max: 2}}}
	n := 0
	f := setUp(t, scripts{"parent": single(c), "child": single(callNext("a", `1`))}, functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		if n++; n < 3 {
			return &faas.Response{Status: 500}, nil
		}
		return plusOne(ctx, req)
	}))
	x := f.run(t, named("parent"))
	assert.Equal(t, "2", text(t, x.Output))
	page, err := f.List(t.Context(), workflow.ExecutionQuery{Workflow: "child"})
	require.NoError(t, err)
	assert.Len(t, page.Executions, 3)
}

func TestDepthOfAHundred(t *testing.T) {
	f := setUp(t, scripts{"deep": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			data, _ := e.Payload.InHand()
			n, _ := strconv.Atoi(string(data))
			if n == 100 {
				return succeed(`"bottom"`)
			}
			return []workflow.Command{{Kind: workflow.CommandChild, Step: "c", Target: faas.Ref{Name: "deep"}, Payload: workflow.JSON(strconv.Itoa(n + 1))}}
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		case workflow.StepFailed:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}
		}
		return nil
	})}, nil)
	x := f.run(t, workflow.StartRequest{Workflow: faas.Ref{Name: "deep"}, Input: workflow.JSON(`0`), ID: strings.Repeat("d", 255)})
	assert.Equal(t, `"bottom"`, text(t, x.Output))
}

func TestTenThousandBranches(t *testing.T) {
	f := setUp(t, scripts{"par": tree{10_000, true}, "seq": tree{25_000, false}}, func(c *engine.Config) { c.Limits.History = 30_000 })
	assert.Equal(t, strconv.Itoa(10_000*10_001/2), text(t, f.run(t, named("par")).Output))
	if !testing.Short() {
		assert.Equal(t, strconv.Itoa(25_000*25_001/2), text(t, f.run(t, named("seq")).Output))
	}
}

func TestTooManyBranches(t *testing.T) {
	f := setUp(t, scripts{"par": tree{101, true}}, func(c *engine.Config) { c.Limits.OpenSteps = 100 })
	x := f.run(t, named("par"))
	assert.Equal(t, workflow.FailureLimit, x.Failure.Name)
}
