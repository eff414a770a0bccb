package engine_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
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
)

// single is a script of one step whose outcome is the execution's.
func single(c workflow.Command) script {
	return on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			return []workflow.Command{c}
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		case workflow.StepFailed:
			return []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}
		}
		return nil
	})
}

func functions(f func(ctx context.Context, req *faas.Request) (*faas.Response, error)) func(*engine.Config) {
	return func(c *engine.Config) { c.Functions = faas.InvokerFunc(f) }
}

func TestRequestOfAStep(t *testing.T) {
	var got *faas.Request
	var body string
	f := setUp(t, scripts{"one": single(workflow.Command{Kind: workflow.CommandCall, Step: "a", Target: faas.Ref{Name: "f", Version: "3"},
		Payload: workflow.JSON(`{"x":1}`), Options: &workflow.StepOptions{Timeout: time.Minute, Method: "PUT", Path: "/p", Header: http.Header{"X-Mine": {"1"}}}})},
		functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			got = req
			body, _ = req.Body.Text()
			_, ok := ctx.Deadline()
			assert.True(t, ok)
			return &faas.Response{Status: 201, Header: http.Header{"Content-Type": {"text/csv"}}, Body: faas.String("a,b")}, nil
		}))
	x := f.run(t, workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, ID: "x"})
	assert.Equal(t, workflow.StatusSucceeded, x.Status)
	assert.Equal(t, "text/csv", x.Output.MediaType())
	assert.Equal(t, "a,b", text(t, x.Output))
	assert.Equal(t, `{"x":1}`, body)
	assert.Equal(t, "default/f@3", got.Function.String())
	assert.Equal(t, "PUT", got.Method)
	assert.Equal(t, "/p", got.Path)
	assert.Equal(t, http.Header{"X-Mine": {"1"}, "Content-Type": {"application/json"}, workflow.HeaderAttempt: {"1"}, workflow.HeaderIdempotencyKey: {"default/x#1/a"}}, got.Header)
}

// A target without a namespace is one of the execution's own.
func TestTargetsAreOfTheExecutionsNamespace(t *testing.T) {
	call := func(target faas.Ref) workflow.Command {
		return workflow.Command{Kind: workflow.CommandCall, Step: "a", Target: target}
	}
	one := workflow.Definition{Ref: faas.Ref{Name: "inline"}, Language: "script", Source: "one"}
	f := setUp(t, scripts{
		"one":   single(call(faas.Ref{Name: "f"})),
		"other": single(call(faas.Ref{Namespace: "other", Name: "f"})),
		"child": single(workflow.Command{Kind: workflow.CommandChild, Step: "c", Child: &workflow.ChildOptions{Definition: &one}}),
	}, functions(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.String(req.Function.String())}, nil
	}))
	for source, want := range map[string]string{"one": "shop/f", "other": "other/f", "child": "shop/f"} {
		x := f.run(t, workflow.StartRequest{Definition: &workflow.Definition{Ref: faas.Ref{Namespace: "shop", Name: source}, Language: "script", Source: source}})
		assert.Equal(t, want, text(t, x.Output), source)
	}
}

func TestFailuresAreNamed(t *testing.T) {
	answer := func(status int, body string) func() (*faas.Response, error) {
		return func() (*faas.Response, error) { return &faas.Response{Status: status, Body: faas.String(body)}, nil }
	}
	fails := func(class error) func() (*faas.Response, error) {
		return func() (*faas.Response, error) { return nil, faas.Errorf("router", "invoke", "f", class, "no") }
	}
	for name, c := range map[string]struct {
		answer func() (*faas.Response, error)
		want   string
	}{
		"named":    {answer(500, `{"errorType":"BadFruit","errorMessage":"rotten"}`), "BadFruit: rotten"},
		"unnamed":  {answer(503, `oops`), "FunctionError: oops"},
		"crash":    {fails(faas.ErrFunction), workflow.FailureFunction},
		"missing":  {fails(faas.ErrNotFound), workflow.FailureNotFound},
		"rejected": {fails(faas.ErrExhausted), workflow.FailureRejected},
		"platform": {fails(faas.ErrUnavailable), workflow.FailurePlatform},
		"timeout":  {fails(faas.ErrTimeout), workflow.FailureTimeout},
		"too much": {answer(200, strings.Repeat("x", 2000)), workflow.FailureLimit},
		"panic":    {func() (*faas.Response, error) { panic("ouch") }, "FunctionError: panic: ouch"},
		"neither":  {func() (*faas.Response, error) { return nil, nil }, workflow.FailurePlatform},
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t, scripts{"one": single(callNext("a", `1`))}, func(cfg *engine.Config) {
				cfg.Limits.Payload = 1000
				cfg.Functions = faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { return c.answer() })
			})
			x := f.run(t, named("one"))
			assert.Equal(t, workflow.StatusFailed, x.Status)
			assert.Contains(t, x.Failure.Error(), c.want)
		})
	}
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var attempts []string
		var keys []string
		call := callNext("a", `1`)
		call.Options = &workflow.StepOptions{Retry: workflow.Retry{
			{Failures: []string{"Flaky"}, Max: 2, Interval: time.Minute, Rate: 2},
			{Failures: []string{workflow.AnyFailure}, Max: 1, Interval: time.Hour},
		}}
		f := setUp(t, scripts{"one": single(call)}, functions(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, req.Header.Get(workflow.HeaderAttempt))
			keys = append(keys, req.Header.Get(workflow.HeaderIdempotencyKey))
			name := "Flaky"
			if len(attempts) == 3 {
				name = "Other"
			}
			return &faas.Response{Status: 500, Body: faas.String(`{"errorType":"` + name + `"}`)}, nil
		}))
		x, err := f.Start(t.Context(), named("one"))
		require.NoError(t, err)
		closed, err := f.Wait(t.Context(), x)
		require.NoError(t, err)
		assert.Equal(t, "Flaky", closed.Failure.Name)
		assert.Equal(t, []string{"1", "2", "3", "4"}, attempts)
		assert.Equal(t, keys[0], keys[3])
		assert.Equal(t, time.Minute+2*time.Minute+time.Hour, closed.Closed.Sub(closed.Started))
	})
}

func TestAttemptTimeoutStepDeadlineAndExecutionDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			<-ctx.Done()
			return nil, faas.ContextError(ctx, "function", "run", "")
		})
		attempt, step := callNext("a", `1`), callNext("a", `1`)
		attempt.Options = &workflow.StepOptions{Timeout: time.Second, Retry: workflow.Retry{{Failures: []string{workflow.FailureTimeout}, Max: 2, Interval: time.Second, Rate: 1}}}
		step.Options = &workflow.StepOptions{Deadline: 10 * time.Second, Timeout: 4 * time.Second, Retry: workflow.Retry{{Failures: []string{workflow.AnyFailure}, Max: 100}}}
		f := setUp(t, scripts{"attempt": single(attempt), "step": single(step), "all": single(callNext("a", `1`))}, hang)
		x := f.run(t, named("attempt"))
		assert.Equal(t, workflow.FailureTimeout, x.Failure.Name)
		assert.Equal(t, 5*time.Second, x.Closed.Sub(x.Started))
		x = f.run(t, named("step"))
		assert.Equal(t, workflow.FailureTimeout, x.Failure.Name)
		assert.Equal(t, 10*time.Second, x.Closed.Sub(x.Started))
		x = f.run(t, workflow.StartRequest{Workflow: faas.Ref{Name: "all"}, Timeout: 20 * time.Second})
		assert.Equal(t, workflow.StatusTimedOut, x.Status)
		assert.Equal(t, 20*time.Second, x.Closed.Sub(x.Started))
	})
}

func TestLargePayloadsGoByReference(t *testing.T) {
	large := `"` + strings.Repeat("x", 100_000) + `"`
	f := setUp(t, scripts{"one": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			_, byReference := e.Payload.Digest()
			if !byReference {
				return succeed(`"the input was in hand"`)
			}
			return []workflow.Command{{Kind: workflow.CommandCall, Step: "a", Target: next, Payload: e.Payload}}
		case workflow.StepSucceeded:
			if _, err := e.Payload.Bytes(context.Background()); err != nil { // before it is stored
				return succeed(`"unreadable"`)
			}
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		}
		return nil
	})}, functions(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		data, err := req.Body.ReadAll(0)
		return &faas.Response{Body: faas.Bytes(data)}, err
	}))
	x := f.run(t, workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, Input: workflow.JSON(large)})
	require.Equal(t, workflow.StatusSucceeded, x.Status)
	assert.Equal(t, large, text(t, x.Output))
	stored, err := f.Get(t.Context(), x.Ref)
	require.NoError(t, err)
	assert.Equal(t, large, text(t, stored.Output))
	page, err := f.History(t.Context(), x.Ref, workflow.HistoryQuery{})
	require.NoError(t, err)
	for _, e := range page.Events {
		_, ok := e.Payload.InHand()
		assert.False(t, ok && len(large) == int(e.Payload.Size()), "event %d holds it", e.Seq)
	}
}

func TestRecordsAndSignals(t *testing.T) {
	wait := func(step string) workflow.Command {
		return workflow.Command{Kind: workflow.CommandWait, Step: step, Name: "go"}
	}
	f := setUp(t, scripts{"s": script(func(events []workflow.Event) []workflow.Command {
		switch e := &events[len(events)-1]; {
		case e.Kind == workflow.ExecutionStarted:
			return []workflow.Command{{Kind: workflow.CommandRecord, Step: "r", Payload: workflow.JSON(`7`)}}
		case e.Step == "r":
			return []workflow.Command{wait("w1"), wait("w2"), {Kind: workflow.CommandTimer, Step: "never", Due: e.Time.Add(time.Hour)}}
		case e.Step == "w2":
			one, two := "", ""
			for _, e := range events {
				if e.Step == "w1" {
					one = text(t, e.Payload)
				}
				if e.Step == "w2" {
					two = text(t, e.Payload)
				}
			}
			return succeed(`"` + one + two + `"`)
		}
		return nil
	})}, nil)
	ref, err := f.Start(t.Context(), named("s"))
	require.NoError(t, err)
	require.NoError(t, f.Signal(t.Context(), ref, "other", workflow.JSON(`0`)))
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)))
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`2`)))
	x := f.wait(t, ref)
	assert.Equal(t, `"12"`, text(t, x.Output))
	err = f.Signal(t.Context(), ref, "go", workflow.JSON(`3`))
	assert.ErrorIs(t, err, faas.ErrConflict)
	err = f.Signal(t.Context(), workflow.ExecutionRef{ID: "none"}, "go", workflow.JSON(`3`))
	assert.ErrorIs(t, err, faas.ErrNotFound)
	assert.ErrorIs(t, f.Signal(t.Context(), ref, "", workflow.Payload{}), faas.ErrInvalidArgument)
}

func TestWaitTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, scripts{"s": on(func(e *workflow.Event) []workflow.Command {
			switch e.Kind {
			case workflow.ExecutionStarted:
				return []workflow.Command{{Kind: workflow.CommandWait, Step: "w", Name: "go", Due: e.Time.AddDate(1, 0, 0)}}
			case workflow.StepFailed:
				return []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}
			}
			return nil
		})}, nil)
		ref, err := f.Start(t.Context(), named("s"))
		require.NoError(t, err)
		x, err := f.Wait(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, workflow.FailureTimeout, x.Failure.Name)
		assert.Equal(t, x.Started.AddDate(1, 0, 0), x.Closed)
	})
}

func TestSignalToAnotherExecution(t *testing.T) {
	f := setUp(t, scripts{
		"receiver": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "hi"}),
		"sender": on(func(e *workflow.Event) []workflow.Command {
			return []workflow.Command{
				{Kind: workflow.CommandSignal, Name: "hi", Execution: workflow.ExecutionRef{ID: "nobody"}},
				{Kind: workflow.CommandSignal, Name: "hi", Execution: workflow.ExecutionRef{ID: "r"}, Payload: workflow.JSON(`"there"`)},
				{Kind: workflow.CommandWait, Step: "forever", Name: "never"},
			}
		}),
	}, nil)
	r, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "receiver"}, ID: "r"})
	require.NoError(t, err)
	_, err = f.Start(t.Context(), named("sender"))
	require.NoError(t, err)
	assert.Equal(t, `"there"`, text(t, f.wait(t, r).Output))
}

func TestCommandsThatBreakARule(t *testing.T) {
	for name, c := range map[string]workflow.Command{
		"no id":        {Kind: workflow.CommandCall, Target: next},
		"no target":    {Kind: workflow.CommandCall, Step: "a"},
		"no activity":  {Kind: workflow.CommandActivity, Step: "a"},
		"no signal":    {Kind: workflow.CommandWait, Step: "a"},
		"no time":      {Kind: workflow.CommandTimer, Step: "a"},
		"bad options":  {Kind: workflow.CommandCall, Step: "a", Target: next, Options: &workflow.StepOptions{Timeout: -1}},
		"bad receiver": {Kind: workflow.CommandSignal, Name: "x"},
		"unknown":      {Kind: 99},
		"attribute":    {Kind: workflow.CommandAnnotate, Attributes: map[string]string{"": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t, scripts{"one": single(c)}, nil)
			x := f.run(t, named("one"))
			assert.Equal(t, workflow.StatusFailed, x.Status)
			assert.Equal(t, workflow.FailureProgram, x.Failure.Name)
		})
	}
	t.Run("opened twice", func(t *testing.T) {
		f := setUp(t, scripts{"one": on(func(e *workflow.Event) []workflow.Command {
			return []workflow.Command{callNext("a", "1"), callNext("a", "2")}
		})}, nil)
		assert.Equal(t, workflow.FailureProgram, f.run(t, named("one")).Failure.Name)
	})
}

func TestAnnotations(t *testing.T) {
	f := setUp(t, scripts{"one": on(func(e *workflow.Event) []workflow.Command {
		if e.Kind == workflow.ExecutionStarted {
			return []workflow.Command{{Kind: workflow.CommandAnnotate, Attributes: map[string]string{"a": "", "b": "2"}, Note: "half way"}, {Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		}
		return nil
	})}, nil)
	ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, Attributes: map[string]string{"a": "1", "c": "3"}})
	require.NoError(t, err)
	x, err := f.Get(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"b": "2", "c": "3"}, x.Attributes)
	assert.Equal(t, "half way", x.Note)
	page, err := f.List(t.Context(), workflow.ExecutionQuery{Attributes: map[string]string{"b": "2"}})
	require.NoError(t, err)
	assert.Len(t, page.Executions, 1)
}

func TestCloseCancelsACall(t *testing.T) {
	var cancelled atomic.Bool
	called := make(chan struct{})
	f := setUp(t, scripts{"race": on(func(e *workflow.Event) []workflow.Command {
		switch {
		case e.Kind == workflow.ExecutionStarted:
			return []workflow.Command{callNext("slow", `1`), {Kind: workflow.CommandWait, Step: "w", Name: "go"}}
		case e.Step == "w":
			return []workflow.Command{{Kind: workflow.CommandClose, Step: "slow"}, {Kind: workflow.CommandClose, Step: "unknown"}, callNext("fast", `2`)}
		case e.Step == "fast":
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		}
		return nil
	})}, functions(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		if strings.HasSuffix(req.ID, "slow") {
			close(called)
			<-ctx.Done()
			cancelled.Store(errors.Is(ctx.Err(), context.Canceled))
			return nil, faas.ContextError(ctx, "function", "run", "")
		}
		return plusOne(ctx, req)
	}))
	ref, err := f.Start(t.Context(), named("race"))
	require.NoError(t, err)
	<-called
	require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.Payload{}))
	x := f.wait(t, ref)
	assert.Equal(t, "3", text(t, x.Output))
	require.NoError(t, f.Close())
	assert.True(t, cancelled.Load())
}
