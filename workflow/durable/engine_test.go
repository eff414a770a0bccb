package durable_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// world outlives engines: a store and functions.
type world struct {
	t     *testing.T
	store workflow.Store
	*engine.Engine

	mu        sync.Mutex
	functions map[string]func(in string) (string, error)
	calls     map[string]int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: memstore.New(nil), functions: map[string]func(string) (string, error){}, calls: map[string]int{}}
	t.Cleanup(func() { require.NoError(t, w.store.Close()) })
	return w
}

func (w *world) function(name string, f func(in string) (string, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.functions[name] = f
}

func (w *world) called(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[name]
}

func (w *world) invoke(_ context.Context, req *faas.Request) (*faas.Response, error) {
	name := req.Function.Name
	w.mu.Lock()
	w.calls[name]++
	f := w.functions[name]
	w.mu.Unlock()
	body, err := req.Body.ReadAll(0)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return &faas.Response{Body: faas.Bytes(body)}, nil
	}
	out, err := f(string(body))
	if err != nil {
		answer, _ := json.Marshal(map[string]string{"errorType": err.Error()})
		return &faas.Response{Status: http.StatusInternalServerError, Body: faas.Bytes(answer)}, nil
	}
	return &faas.Response{Body: faas.String(out)}, nil
}

// start starts an engine with the code over the world's store, as after a restart. It ends with stop, or the test.
func (w *world) start(o *durable.Options, code ...durable.Code) (stop func()) {
	w.t.Helper()
	t := w.t
	lang, err := durable.New(o, code...)
	require.NoError(t, err)
	languages, err := workflow.NewLanguages(lang)
	require.NoError(t, err)
	registry, err := memdefinitions.New(languages)
	require.NoError(t, err)
	for _, c := range code {
		_, err := registry.Register(t.Context(), c.Definition())
		require.NoError(t, err)
	}
	e, err := engine.New(engine.Config{Functions: faas.InvokerFunc(w.invoke), Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: w.store})
	require.NoError(t, err)
	w.Engine = e
	stop = func() {
		require.NoError(t, e.Close())
		require.NoError(t, registry.Close())
	}
	t.Cleanup(stop)
	require.NoError(t, w.Recover(t.Context()))
	return stop
}

func (w *world) begin(name string, input any) workflow.ExecutionRef {
	w.t.Helper()
	p, err := workflow.MarshalPayload(input)
	require.NoError(w.t, err)
	ref, err := w.Start(w.t.Context(), workflow.StartRequest{Workflow: fn(name), Input: p})
	require.NoError(w.t, err)
	return ref
}

func (w *world) wait(ref workflow.ExecutionRef) workflow.Execution {
	w.t.Helper()
	x, err := w.Wait(w.t.Context(), ref)
	require.NoError(w.t, err)
	return x
}

// output waits for success and returns the output as text.
func (w *world) output(ref workflow.ExecutionRef) string {
	w.t.Helper()
	x := w.wait(ref)
	require.Equal(w.t, workflow.StatusSucceeded, x.Status, "%+v", x.Failure)
	data, err := x.Output.Bytes(w.t.Context())
	require.NoError(w.t, err)
	return string(data)
}

func (w *world) control(ref workflow.ExecutionRef, a workflow.Action) {
	w.t.Helper()
	require.NoError(w.t, w.Control(w.t.Context(), ref, workflow.Control{Action: a, Reason: "by the test"}))
}

func (w *world) log(ref workflow.ExecutionRef) []workflow.Event {
	w.t.Helper()
	page, err := w.History(w.t.Context(), ref, workflow.HistoryQuery{Limit: workflow.MaxPage})
	require.NoError(w.t, err)
	require.Empty(w.t, page.Next)
	return page.Events
}

// blocked waits until nothing moves and returns why the execution does not go on.
func (w *world) blocked(ref workflow.ExecutionRef) string {
	w.t.Helper()
	synctest.Wait()
	why, err := w.Explain(w.t.Context(), ref)
	require.NoError(w.t, err)
	return why.Blocked
}

// inBubble runs f in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// chain calls the functions of its names one after the other, each with what the one before answered.
func chain(version string, names ...string) durable.Code {
	return durable.Workflow("chain", version, func(ctx durable.Context, in string) (string, error) {
		var err error
		for _, name := range names {
			if sleep, ok := strings.CutPrefix(name, "sleep-"); ok {
				d, _ := time.ParseDuration(sleep)
				err = ctx.Sleep(d)
			} else {
				in, err = durable.Call[string](ctx, fn(name), in, nil).Get()
			}
			if err != nil {
				return "", err
			}
		}
		return in, nil
	})
}

func appends(s string) func(string) (string, error) {
	return func(in string) (string, error) { return fmt.Sprintf("%q", strings.Trim(in, `"`)+s), nil }
}

func TestEngineGoesOnAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.function("a", appends("a"))
		w.function("b", appends("b"))
		code := chain("1", "a", "sleep-24h", "b")
		stop := w.start(nil, code)
		ref := w.begin("chain", "x")
		synctest.Wait()
		stop()
		time.Sleep(time.Hour)
		w.start(nil, code)
		began := time.Now()
		require.Equal(t, `"xab"`, w.output(ref))
		require.WithinDuration(t, began.Add(23*time.Hour), time.Now(), time.Minute)
		require.Equal(t, 1, w.called("a"), "what has an outcome is not done again")
	})
}

func TestCodeThatIsMissingBlocksAndGoesOnWhenItIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		code := chain("1", "a", "sleep-24h", "b")
		stop := w.start(nil, code)
		ref := w.begin("chain", "x")
		synctest.Wait()
		stop()

		stop = w.start(nil, chain("2", "a"))
		why := w.blocked(ref)
		require.Contains(t, why, "chain@1")
		require.Contains(t, why, "this process does not have the code; it has chain@2")
		time.Sleep(48 * time.Hour)
		require.Zero(t, w.called("b"))
		stop()

		w.start(nil, code, chain("2", "a"))
		require.Equal(t, `"x"`, w.output(ref))
		require.Equal(t, 1, w.called("a"))
	})
}

func TestCodeThatWasChangedBlocksAndExplains(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		code := chain("1", "a", "sleep-24h", "b")
		stop := w.start(nil, code)
		ref := w.begin("chain", "x")
		synctest.Wait()
		stop()

		stop = w.start(nil, chain("1", "other", "a"))
		why := w.blocked(ref)
		for _, s := range []string{"workflow chain@1 does not fit its history at event 2", `history has step "a"`, `waits for "other" (call default/other)`, "Patched"} {
			require.Contains(t, why, s)
		}
		require.Zero(t, w.called("other"))
		stop()

		w.start(nil, code)
		require.Equal(t, `"x"`, w.output(ref))
	})
}

func TestPatchedCodeFinishesWhatOldCodeBegan(t *testing.T) {
	patched := durable.Workflow("chain", "1", func(ctx durable.Context, in string) (string, error) {
		in, err := durable.Call[string](ctx, fn("a"), in, nil).Get()
		if err != nil {
			return "", err
		}
		next := "b"
		if ctx.Patched("better") {
			next = "better"
		}
		if in, err = durable.Call[string](ctx, fn(next), in, nil).Get(); err != nil {
			return "", err
		}
		if err := ctx.Sleep(24 * time.Hour); err != nil {
			return "", err
		}
		return durable.Call[string](ctx, fn("c"), in, nil).Get()
	})
	inBubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "b", "better"} {
			w.function(name, appends(name))
		}
		w.function("c", func(string) (string, error) { return "", fmt.Errorf("Down") })
		stop := w.start(nil, chain("1", "a", "b", "sleep-24h", "c"))
		old := w.begin("chain", "x")
		synctest.Wait()
		stop()

		w.start(nil, patched)
		require.Empty(t, w.blocked(old))
		young := w.begin("chain", "y")
		require.Equal(t, "Down", w.wait(old).Failure.Name)
		require.Equal(t, "Down", w.wait(young).Failure.Name)

		w.function("c", nil)
		w.control(old, workflow.ActionRedrive)
		require.Equal(t, `"xab"`, w.output(old), "it stays old when it is redriven")
		w.control(young, workflow.ActionRedrive)
		require.Equal(t, `"yabetter"`, w.output(young))
		require.Equal(t, 1, w.called("b"))
		require.Equal(t, 1, w.called("better"))
	})
}

func TestContinueAsNewCarriesSignalsOver(t *testing.T) {
	type state struct {
		Sum, Seen int
	}
	code := durable.Workflow("adder", "1", func(ctx durable.Context, in state) (int, error) {
		for range 3 {
			n, err := durable.Receive[int](ctx, "add", 0).Get()
			if err != nil {
				return 0, err
			}
			if n == 0 {
				return in.Sum, nil
			}
			in.Sum, in.Seen = in.Sum+n, in.Seen+1
			if err := durable.Call[any](ctx, fn("note"), in.Sum, nil).Err(); err != nil {
				return 0, err
			}
		}
		return 0, durable.ContinueAsNew(in)
	})
	inBubble(t, func(t *testing.T, w *world) {
		stop := w.start(nil, code)
		ref := w.begin("adder", state{})
		w.function("note", func(string) (string, error) { time.Sleep(time.Minute); return "1", nil })
		want := 0
		for i := range 10 { // faster than they are received
			require.NoError(t, w.Signal(t.Context(), ref, "add", workflow.JSON(fmt.Sprint(i+1))))
			want += i + 1
		}
		time.Sleep(5 * time.Minute)
		stop()
		w.start(nil, code)
		require.NoError(t, w.Signal(t.Context(), ref, "add", workflow.JSON("0")))
		require.Equal(t, fmt.Sprint(want), w.output(ref))
		x, err := w.Get(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, 4, x.Logs)
	})
}

func TestCodeThatHangsBlocksItsOwnExecutionAlone(t *testing.T) {
	unblock := make(chan struct{})
	hangs := durable.Workflow("hangs", "1", func(ctx durable.Context, in string) (string, error) {
		if err := durable.Call[any](ctx, fn("a"), in, nil).Err(); err != nil {
			return "", err
		}
		<-unblock
		return in, nil
	})
	w := newWorld(t)
	stop := w.start(&durable.Options{Budget: 100 * time.Millisecond}, hangs, chain("1", "a"))
	ref := w.begin("hangs", "x")
	require.Equal(t, `"y"`, w.output(w.begin("chain", "y")))
	require.Eventually(t, func() bool {
		why, err := w.Explain(t.Context(), ref)
		require.NoError(t, err)
		return strings.Contains(why.Blocked, "workflow hangs@1 did not wait in a durable call for 100ms after event 2")
	}, 30*time.Second, 10*time.Millisecond)
	close(unblock)
	require.Equal(t, `"x"`, w.output(ref), "the engine tries again by itself")
	stop()
}

func TestChildrenEndAndAreCancelledWithTheirParent(t *testing.T) {
	child := durable.Workflow("child", "1", func(ctx durable.Context, in string) (string, error) {
		switch in {
		case "fail":
			return "", &workflow.Failure{Name: "Naughty", Cause: "as told"}
		case "wait":
			return "", ctx.Sleep(time.Hour)
		}
		return durable.Call[string](ctx, fn("a"), in, nil).Get()
	})
	parent := durable.Workflow("parent", "1", func(ctx durable.Context, in []string) ([]string, error) {
		return durable.Map(ctx, in, 0, func(ctx durable.Context, _ int, s string) (string, error) {
			return durable.Child[string](ctx, fn("child"), s, &durable.ChildOptions{ChildOptions: workflow.ChildOptions{OnClose: workflow.ChildCancels}}).Get()
		})
	})
	inBubble(t, func(t *testing.T, w *world) {
		w.function("a", appends("!"))
		w.start(nil, child, parent)
		require.Equal(t, `["x!","y!"]`, w.output(w.begin("parent", []string{"x", "y"})))
		x := w.wait(w.begin("parent", []string{"wait", "fail"}))
		require.Equal(t, "Naughty", x.Failure.Name)
		ref := w.begin("parent", []string{"wait", "wait"})
		synctest.Wait()
		w.control(ref, workflow.ActionCancel)
		require.Equal(t, workflow.StatusCanceled, w.wait(ref).Status)
		synctest.Wait()
		page, err := w.List(t.Context(), workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusRunning}})
		require.NoError(t, err)
		require.Empty(t, page.Executions, "no child is left")
	})
}

func TestACallbackEndsItsStep(t *testing.T) {
	code := durable.Workflow("callback", "1", func(ctx durable.Context, in string) (string, error) {
		return durable.Call[string](ctx, fn("ask"), in, &durable.CallOptions{StepOptions: workflow.StepOptions{Callback: true, Timeout: time.Hour}}).Get()
	})
	mail := durable.Workflow("mail", "1", func(ctx durable.Context, in string) (string, error) {
		review := durable.Activity[string](ctx, "review", in, nil)
		if err := durable.Call[any](ctx, fn("mail"), review.Token(), nil).Err(); err != nil {
			return "", err
		}
		return review.Get()
	})
	inBubble(t, func(t *testing.T, w *world) {
		w.start(nil, code, mail)
		ref := w.begin("callback", "x")
		synctest.Wait()
		why, err := w.Explain(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "ask", why.Steps[0].Step)
		first := w.log(ref)[0]
		token := workflow.Token{Execution: ref, Step: "ask"}.Sign(first.Start.Secret)
		require.NoError(t, w.Succeed(t.Context(), token, workflow.JSON(`"answered"`)))
		require.Equal(t, `"answered"`, w.output(ref))

		sent := make(chan string, 1)
		w.function("mail", func(in string) (string, error) { sent <- strings.Trim(in, `"`); return "1", nil })
		ref = w.begin("mail", "x")
		require.NoError(t, w.Succeed(t.Context(), <-sent, workflow.JSON(`"reviewed"`)))
		require.Equal(t, `"reviewed"`, w.output(ref))
	})
}

func TestLargeValuesPassByReference(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		large := strings.Repeat("x", 100_000)
		w.function("a", appends("a"))
		code := chain("1", "a", "a", "sleep-1h", "a")
		stop := w.start(nil, code)
		ref := w.begin("chain", large)
		synctest.Wait()
		stop()
		w.start(nil, code)
		require.Equal(t, `"`+large+`aaa"`, w.output(ref))
	})
}

func TestCancelRacingCompletionEndsOnce(t *testing.T) {
	w := newWorld(t)
	w.start(nil, chain("1", "a", "b"))
	ends := map[workflow.Status]int{}
	for i := range 300 {
		gate := make(chan struct{})
		w.function("b", func(in string) (string, error) { <-gate; return in, nil })
		ref := w.begin("chain", "x")
		var both sync.WaitGroup
		both.Go(func() { close(gate) })
		both.Go(func() {
			for range i % 50 {
				runtime.Gosched()
			}
			err := w.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionCancel})
			if err != nil {
				assert.ErrorIs(t, err, faas.ErrConflict, "it has closed")
			}
		})
		x := w.wait(ref)
		both.Wait()
		ends[x.Status]++
		log := w.log(ref)
		for i, e := range log {
			require.Equal(t, i == len(log)-1, e.Kind.Closes(), "event %d of %d: %s", i+1, len(log), e.Kind)
		}
		require.Equal(t, x.Status, log[len(log)-1].Kind.Status())
	}
	t.Log(ends)
	require.Equal(t, 300, ends[workflow.StatusSucceeded]+ends[workflow.StatusCanceled])
}

func TestFanOutOfTenThousand(t *testing.T) {
	w := newWorld(t)
	w.start(nil, mapped)
	require.Equal(t, "10000", w.output(w.begin("mapped", 10_000)))
	require.Equal(t, 10_000, w.called("next"))
}

func TestChildrenAHundredDeep(t *testing.T) {
	code := durable.Workflow("deep", "1", func(ctx durable.Context, in int) (int, error) {
		if in == 0 {
			return 0, nil
		}
		n, err := durable.Child[int](ctx, fn("deep"), in-1, nil).Get()
		return n + 1, err
	})
	w := newWorld(t)
	w.start(nil, code)
	require.Equal(t, "100", w.output(w.begin("deep", 100)))
}
