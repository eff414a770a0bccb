package engine_test

import (
	"context"
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

func review(o *workflow.StepOptions) workflow.Command {
	return workflow.Command{Kind: workflow.CommandActivity, Step: "r", Name: "review", Payload: workflow.JSON(`{"doc":1}`), Options: o}
}

func TestActivities(t *testing.T) {
	f := setUp(t, scripts{"a": single(review(&workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{"Again"}, Max: 1}}}))}, nil)
	ref, err := f.Start(t.Context(), named("a"))
	require.NoError(t, err)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, "nobody polls activity review", x.Steps[0].Owner)
	a, err := f.Poll(t.Context(), "review", "w1")
	require.NoError(t, err)
	assert.Equal(t, ref, a.Execution)
	assert.Equal(t, `{"doc":1}`, text(t, a.Input))
	assert.Equal(t, 1, a.Attempt)
	x, err = f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Equal(t, "worker w1", x.Steps[0].Owner)
	require.NoError(t, f.Heartbeat(t.Context(), a.Token, workflow.JSON(`"half"`)))
	require.NoError(t, f.Fail(t.Context(), a.Token, workflow.Failure{Name: "Again"}))
	require.NoError(t, f.Fail(t.Context(), a.Token, workflow.Failure{Name: "Again"}), "it may be repeated")
	assert.ErrorIs(t, f.Succeed(t.Context(), a.Token, workflow.Payload{}), faas.ErrNotFound)
	assert.ErrorIs(t, f.Heartbeat(t.Context(), a.Token, workflow.Payload{}), faas.ErrNotFound)
	b, err := f.Poll(t.Context(), "review", "w2")
	require.NoError(t, err)
	assert.Equal(t, 2, b.Attempt)
	assert.Equal(t, `"half"`, text(t, b.Details))
	require.NoError(t, f.Succeed(t.Context(), b.Token, workflow.JSON(`"fine"`)))
	assert.Equal(t, `"fine"`, text(t, f.wait(t, ref).Output))
	require.NoError(t, f.Succeed(t.Context(), b.Token, workflow.JSON(`"fine"`)), "it may be repeated, also when the execution has closed")
	assert.ErrorIs(t, f.Succeed(t.Context(), a.Token, workflow.Payload{}), faas.ErrNotFound)
	log := history(t, f, ref)
	assert.Equal(t, "execution-started step-retrying(r) step-succeeded(r) execution-succeeded", kinds(log))
	assert.Equal(t, "review", log[2].Name)

	assert.ErrorIs(t, f.Succeed(t.Context(), "nonsense", workflow.Payload{}), faas.ErrInvalidArgument)
	forged := workflow.Token{Execution: ref, Step: "r", Attempt: 2}.Sign([]byte("guess"))
	assert.ErrorIs(t, f.Succeed(t.Context(), forged, workflow.Payload{}), faas.ErrInvalidArgument)
	_, err = f.Poll(t.Context(), "", "w")
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
}

func TestForgedTokenOfAnOpenStep(t *testing.T) {
	f := setUp(t, scripts{"a": single(review(nil))}, nil)
	ref, err := f.Start(t.Context(), named("a"))
	require.NoError(t, err)
	forged := workflow.Token{Execution: ref, Step: "r", Attempt: 1}.Sign([]byte("guess"))
	assert.ErrorIs(t, f.Succeed(t.Context(), forged, workflow.Payload{}), faas.ErrInvalidArgument)
	assert.ErrorIs(t, f.Heartbeat(t.Context(), forged, workflow.Payload{}), faas.ErrInvalidArgument)
}

func TestWorkerAndEngineRestart(t *testing.T) {
	f := setUp(t, scripts{"a": single(review(nil))}, nil)
	ref, err := f.Start(t.Context(), named("a"))
	require.NoError(t, err)
	a, err := f.Poll(t.Context(), "review", "w1")
	require.NoError(t, err)
	f.restart(t)
	require.NoError(t, f.Heartbeat(t.Context(), a.Token, workflow.Payload{}), "the token is valid, and the attempt its holder's again")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = f.Poll(ctx, "review", "w2")
	assert.ErrorIs(t, err, faas.ErrTimeout)
	require.NoError(t, f.Succeed(t.Context(), a.Token, workflow.JSON(`1`)))
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, ref).Status)
}

func TestTimeoutsOfActivities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, scripts{
			"slow":   single(review(&workflow.StepOptions{Timeout: time.Minute})),
			"silent": single(review(&workflow.StepOptions{Heartbeat: time.Minute})),
			"late":   single(review(&workflow.StepOptions{Deadline: time.Hour})),
		}, nil)
		slow, err := f.Start(t.Context(), named("slow"))
		require.NoError(t, err)
		time.Sleep(time.Hour) // nobody has it yet: its time has not begun
		a, err := f.Poll(t.Context(), "review", "w")
		require.NoError(t, err)
		assert.Equal(t, time.Now().Add(time.Minute).UTC(), a.Deadline)
		x := f.wait(t, slow)
		assert.Equal(t, workflow.FailureTimeout, x.Failure.Name)
		assert.Equal(t, time.Hour+time.Minute, x.Closed.Sub(x.Started))
		assert.ErrorIs(t, f.Heartbeat(t.Context(), a.Token, workflow.Payload{}), faas.ErrNotFound)

		silent, err := f.Start(t.Context(), named("silent"))
		require.NoError(t, err)
		a, err = f.Poll(t.Context(), "review", "w")
		require.NoError(t, err)
		for range 10 {
			time.Sleep(50 * time.Second)
			require.NoError(t, f.Heartbeat(t.Context(), a.Token, workflow.Payload{}))
		}
		x = f.wait(t, silent)
		assert.Equal(t, workflow.FailureHeartbeat, x.Failure.Name)
		assert.Equal(t, 560*time.Second, x.Closed.Sub(x.Started))

		late, err := f.Start(t.Context(), named("late"))
		require.NoError(t, err)
		explained, err := f.Explain(t.Context(), late)
		require.NoError(t, err)
		assert.Equal(t, explained.Execution.Started.Add(time.Hour), explained.Steps[0].Deadline)
		x = f.wait(t, late)
		assert.Equal(t, time.Hour, x.Closed.Sub(x.Started))
	})
}

func TestPollThatGivesUpLosesNothing(t *testing.T) {
	f := setUp(t, scripts{"a": single(review(nil))}, nil)
	var refs []workflow.ExecutionRef
	var mu sync.Mutex
	got := map[workflow.ExecutionRef]bool{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
				a, err := f.Poll(ctx, "review", "w")
				cancel()
				if err != nil {
					continue
				}
				mu.Lock()
				assert.False(t, got[a.Execution], "it was given twice")
				got[a.Execution] = true
				mu.Unlock()
				assert.NoError(t, f.Succeed(context.Background(), a.Token, workflow.JSON(`1`)))
			}
		})
	}
	for range 300 {
		ref, err := f.Start(t.Context(), named("a"))
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		f.wait(t, ref)
	}
	close(stop)
	wg.Wait()
}

func TestPriorityOfActivitiesAndSuspension(t *testing.T) {
	f := setUp(t, scripts{"low": single(review(nil)), "high": single(review(&workflow.StepOptions{Priority: 1}))}, nil)
	low, err := f.Start(t.Context(), named("low"))
	require.NoError(t, err)
	high, err := f.Start(t.Context(), named("high"))
	require.NoError(t, err)
	held, err := f.Start(t.Context(), named("high"))
	require.NoError(t, err)
	require.NoError(t, control(t, f, held, workflow.ActionSuspend))
	for _, want := range []workflow.ExecutionRef{high, low} {
		a, err := f.Poll(t.Context(), "review", "w")
		require.NoError(t, err)
		assert.Equal(t, want, a.Execution)
	}
	polled := make(chan *workflow.Activity)
	go func() {
		a, err := f.Poll(t.Context(), "review", "w")
		assert.NoError(t, err)
		polled <- a
	}()
	require.NoError(t, control(t, f, held, workflow.ActionResume))
	assert.Equal(t, held, (<-polled).Execution)
}

func TestCallbacks(t *testing.T) {
	c := callNext("a", `1`)
	c.Options = &workflow.StepOptions{Callback: true, Retry: workflow.Retry{{Failures: []string{workflow.AnyFailure}, Max: 1}}}
	tokens := make(chan string, 10)
	fail := make(chan bool, 10)
	f := setUp(t, scripts{"cb": single(c)}, functions(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		tokens <- req.Header.Get(workflow.HeaderToken)
		if <-fail {
			return &faas.Response{Status: 500}, nil
		}
		return &faas.Response{Body: faas.String(`"ignored"`)}, nil
	}))
	ref, err := f.Start(t.Context(), named("cb"))
	require.NoError(t, err)
	first := <-tokens
	fail <- true
	second := <-tokens
	fail <- false
	require.NotEqual(t, first, second)
	require.Eventually(t, func() bool {
		x, err := f.Explain(t.Context(), ref)
		return err == nil && len(x.Steps) == 1 && x.Steps[0].Owner == "token holder"
	}, 10*time.Second, time.Millisecond)
	assert.ErrorIs(t, f.Succeed(t.Context(), first, workflow.Payload{}), faas.ErrNotFound)
	require.NoError(t, f.Succeed(t.Context(), second, workflow.JSON(`"approved"`)))
	assert.Equal(t, `"approved"`, text(t, f.wait(t, ref).Output))

	// A token that somebody was given before a restart counts, though the function is asked once more.
	ref, err = f.Start(t.Context(), named("cb"))
	require.NoError(t, err)
	before := <-tokens
	fail <- false
	f.restart(t)
	<-tokens
	fail <- false
	require.NoError(t, f.Succeed(t.Context(), before, workflow.JSON(`"late"`)))
	assert.Equal(t, `"late"`, text(t, f.wait(t, ref).Output))
}

func TestTokenMadeByAProgram(t *testing.T) {
	tokens := make(chan string, 10)
	c := callNext("a", `1`)
	c.Options = &workflow.StepOptions{Callback: true}
	f := setUp(t, scripts{"p": script(func(events []workflow.Event) []workflow.Command {
		switch e := events[len(events)-1]; e.Kind {
		case workflow.ExecutionStarted:
			tokens <- workflow.Token{Execution: e.Start.Execution, Step: "a"}.Sign(e.Start.Secret)
			return []workflow.Command{c}
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		}
		return nil
	})}, func(c *engine.Config) { c.Functions = plusOne })
	ref, err := f.Start(t.Context(), named("p"))
	require.NoError(t, err)
	require.NoError(t, f.Succeed(t.Context(), <-tokens, workflow.JSON(`"mine"`)))
	assert.Equal(t, `"mine"`, text(t, f.wait(t, ref).Output))
}
