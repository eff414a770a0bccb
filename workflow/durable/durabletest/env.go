// Package durabletest runs workflows of package durable in tests: on the real workflow engine, with stores in memory,
// functions that are the test's own, and virtual time (testing/synctest), in which a year passes at once.
//
//	func TestApproval(t *testing.T) {
//		code := durable.Workflow("approve", "1", approve)
//		durabletest.Run(t, func(env *durabletest.Env) {
//			durabletest.Function(env, "quote", func(ctx context.Context, o Order) (Quote, error) { return Quote{Price: 12}, nil })
//			x := env.Start("approve", Order{ID: 7})
//			time.Sleep(47 * time.Hour) // virtual
//			x.Signal("approve", true)
//			out, err := durabletest.Result[string](x)
//			…
//			calls := env.Calls("quote")
//		}, code)
//	}
//
// When the test's function has returned, the log of each of its executions is replayed (durable.Replay): code
// that is not deterministic fails the test.
//
// # Concurrency
//
// Functions and activities run in goroutines of the engine, so they share nothing with the test without a lock. Everything
// stays within the bubble of testing/synctest: no network, no other tests' goroutines.
package durabletest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// Env is an engine that runs workflows, and stands in for the rest of the world.
type Env struct {
	t     *testing.T
	ctx   context.Context   // ends with the test
	store [2]workflow.Store // standard and express
	// Those of the present engine.
	code    []durable.Code
	lang    *durable.Language
	engine  *engine.Engine
	live    context.Context // ends with it
	end     context.CancelFunc
	workers sync.WaitGroup

	mu         sync.Mutex
	functions  map[string]handler
	activities map[string]handler
	calls      []Call
}

// handler answers a function's call or an activity.
type handler func(ctx context.Context, c Call) (workflow.Payload, error)

// Call is a call of a function, or an activity, as it arrived.
type Call struct {
	// Function is the function's or activity's name.
	Function string
	// Key is the idempotency key, which ends with the step's ID: the same for every attempt. Attempt is from "1".
	Key     string
	Attempt string
	// Header is that of a function's request.
	Header http.Header
	// At is the virtual time.
	At    time.Time
	Input workflow.Payload
}

// Run runs test with an engine that knows the given code, each registered under its name. It ends what test
// left open, and fails t when the history of an execution does not replay.
func Run(t *testing.T, test func(env *Env), code ...durable.Code) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		env := &Env{t: t, ctx: ctx, store: [2]workflow.Store{memstore.New(nil), memstore.New(nil)}, functions: map[string]handler{}, activities: map[string]handler{}}
		defer func() {
			if env.engine != nil {
				if err := env.replay(); err != nil && !t.Failed() {
					t.Error(err)
				}
				env.stop()
			}
			cancel()
			for _, s := range env.store {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}()
		env.start(code)
		test(env)
	})
}

// Restart ends the engine, as a crash would, and starts another one over the same executions: with the same
// code if none is given, else with that. Functions that run are cancelled and called again, with the next attempt. It
// shows that changed code takes up what the old code began.
func (env *Env) Restart(code ...durable.Code) {
	env.t.Helper()
	if len(code) == 0 {
		code = env.code
	}
	env.stop()
	env.start(code)
}

// stop ends the engine and who works for it.
func (env *Env) stop() {
	env.t.Helper()
	env.end()
	if err := env.engine.Close(); err != nil {
		env.t.Error(err)
	}
	env.workers.Wait()
}

func (env *Env) start(code []durable.Code) {
	env.t.Helper()
	lang, err := durable.New(nil, code...)
	env.must(err)
	languages, err := workflow.NewLanguages(lang)
	env.must(err)
	registry, err := memdefinitions.New(languages)
	env.must(err)
	for _, c := range code {
		_, err := registry.Register(env.ctx, c.Definition())
		env.must(err)
	}
	e, err := engine.New(engine.Config{
		Functions: faas.InvokerFunc(env.invoke), Registry: registry, Languages: languages,
		Scheduler: fifo.New(nil), Store: env.store[0], Express: env.store[1],
	})
	env.must(err)
	env.code, env.lang, env.engine = code, lang, e
	env.live, env.end = context.WithCancel(env.ctx)
	env.must(e.Recover(env.ctx))
	for name, do := range env.activities {
		env.poll(name, do)
	}
}

func (env *Env) must(err error) {
	env.t.Helper()
	if err != nil {
		env.t.Fatal(err)
	}
}

// Engine is the engine, for what Env and Execution have no method for: queries, control, explanations.
func (env *Env) Engine() *engine.Engine { return env.engine }

// Function stands in for a function of that name, in any namespace. It gets the call's body as In; what it returns is the answer.
// A *workflow.Failure in its error names how the function failed. It may take its time with
// time.Sleep, which is virtual. Functions that nobody stands in for are not found.
func Function[In, Out any](env *Env, name string, fn func(ctx context.Context, in In) (Out, error)) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.functions[name] = handle(fn)
}

// Activity stands in for the pull workers of an activity: each that comes is run at once, in a goroutine of its own. Otherwise
// it is like Function.
func Activity[In, Out any](env *Env, name string, fn func(ctx context.Context, in In) (Out, error)) {
	env.activities[name] = handle(fn)
	env.poll(name, env.activities[name])
}

// poll takes activities of that name until the engine ends.
func (env *Env) poll(name string, do handler) {
	e, ctx := env.engine, env.live
	env.workers.Go(func() {
		for {
			a, err := e.Poll(ctx, name, "durabletest")
			if err != nil {
				return
			}
			c := Call{Function: name, Key: a.Execution.Key(a.Step), Attempt: strconv.Itoa(a.Attempt), At: time.Now(), Input: a.Input}
			env.record(c)
			env.workers.Go(func() {
				if err := work(ctx, e, a, c, do); err != nil && ctx.Err() == nil {
					env.t.Error(err)
				}
			})
		}
	})
}

// work does an activity. That nobody wants its result any more is no error: the workflow may have closed it.
func work(ctx context.Context, e *engine.Engine, a *workflow.Activity, c Call, do handler) error {
	out, err := do(ctx, c)
	if err == nil {
		err = e.Succeed(ctx, a.Token, out)
	} else {
		f := &workflow.Failure{Name: workflow.FailureFunction, Cause: err.Error()}
		errors.As(err, &f)
		err = e.Fail(ctx, a.Token, *f)
	}
	if errors.Is(err, faas.ErrNotFound) {
		return nil
	}
	return err
}

// handle makes a handler of a function.
func handle[In, Out any](fn func(ctx context.Context, in In) (Out, error)) handler {
	return func(ctx context.Context, c Call) (p workflow.Payload, err error) {
		var in In
		if to, ok := any(&in).(*workflow.Payload); ok {
			*to = c.Input
		} else if c.Input.Size() > 0 {
			if err := c.Input.Unmarshal(ctx, &in); err != nil {
				return p, err
			}
		}
		out, err := fn(ctx, in)
		if err != nil {
			return p, err
		}
		if p, ok := any(out).(workflow.Payload); ok {
			return p, nil
		}
		return workflow.MarshalPayload(out)
	}
}

// invoke is the platform's function path.
func (env *Env) invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	body, err := req.Body.ReadAll(0)
	if err != nil {
		return nil, err
	}
	c := Call{Function: req.Function.Name, Key: req.Header.Get(workflow.HeaderIdempotencyKey), Attempt: req.Header.Get(workflow.HeaderAttempt),
		Header: req.Header, At: time.Now(), Input: workflow.Bytes(req.Header.Get("Content-Type"), body)}
	fn := env.record(c)
	if fn == nil {
		return nil, faas.Errorf("durabletest", "invoke", c.Function, faas.ErrNotFound, "the test has no such function")
	}
	out, err := fn(ctx, c)
	if err == nil {
		data, err := out.Bytes(ctx)
		if err != nil {
			return nil, err
		}
		return &faas.Response{Header: http.Header{"Content-Type": {out.MediaType()}}, Body: faas.Bytes(data)}, nil
	}
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, "durabletest", "invoke", c.Function)
	}
	var class *faas.Error
	if errors.As(err, &class) {
		return nil, err
	}
	answer := []byte(err.Error())
	if f := new(workflow.Failure); errors.As(err, &f) {
		if answer, err = json.Marshal(map[string]string{"errorType": f.Name, "errorMessage": f.Cause}); err != nil {
			return nil, err
		}
	}
	return &faas.Response{Status: http.StatusInternalServerError, Body: faas.Bytes(answer)}, nil
}

// record keeps the call and returns who answers it.
func (env *Env) record(c Call) handler {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.calls = append(env.calls, c)
	return env.functions[c.Function]
}

// Calls returns the calls of a function, and the activities, of that name so far, in the order they arrived.
func (env *Env) Calls(name string) []Call {
	env.mu.Lock()
	defer env.mu.Unlock()
	var calls []Call
	for _, c := range env.calls {
		if c.Function == name {
			calls = append(calls, c)
		}
	}
	return calls
}

// Start starts an execution of a workflow that was registered, or fails the test.
func (env *Env) Start(name string, input any) *Execution {
	env.t.Helper()
	return env.StartRequest(workflow.StartRequest{Workflow: faas.Ref{Name: name}}, input)
}

// StartRequest is Start with everything that may be asked for; input becomes req.Input.
func (env *Env) StartRequest(req workflow.StartRequest, input any) *Execution {
	env.t.Helper()
	var err error
	req.Input, err = workflow.MarshalPayload(input)
	env.must(err)
	ref, err := env.engine.Start(env.ctx, req)
	env.must(err)
	return &Execution{env: env, ref: ref}
}
