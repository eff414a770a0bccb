package engine_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripts is a language whose sources name Programs written in Go.
type scripts map[string]workflow.Program

func (scripts) Name() string { return "script" }

func (l scripts) Compile(d *workflow.Definition) (workflow.Program, error) {
	p, ok := l[d.Source]
	if !ok {
		return nil, faas.Errorf("test", "compile", d.Source, faas.ErrNotFound, "no such script")
	}
	return p, nil
}

// script is a Program as a function of the events so far, all of them: the simplest that can be. Its state
// is the number of commands it has given. It has no snapshots.
type script func(events []workflow.Event) []workflow.Command

func (f script) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	events, _ := s.([]workflow.Event)
	events = append(events[:len(events):len(events)], *e)
	return events, f(events), nil
}

func (script) Snapshot(workflow.State) ([]byte, error) {
	return nil, faas.Errorf("test", "snapshot", "", faas.ErrUnimplemented, "scripts have none")
}

func (script) Restore([]byte, workflow.PayloadSource) (workflow.State, error) {
	return nil, faas.Errorf("test", "restore", "", faas.ErrCorrupt, "scripts have no snapshots")
}

// on is a script that looks at the last event only.
func on(f func(e *workflow.Event) []workflow.Command) script {
	return func(events []workflow.Event) []workflow.Command { return f(&events[len(events)-1]) }
}

var next = faas.Ref{Namespace: faas.DefaultNamespace, Name: "next"}

func callNext(step string, input string) workflow.Command {
	return workflow.Command{Kind: workflow.CommandCall, Step: step, Target: next, Payload: workflow.JSON(input)}
}

func succeed(output string) []workflow.Command {
	return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: workflow.JSON(output)}}
}

// plusOne answers a number with the next one.
var plusOne = faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
	data, err := req.Body.ReadAll(0)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return nil, err
	}
	return &faas.Response{Body: faas.String(strconv.Itoa(n + 1))}, nil
})

// tree is a Program with snapshots: steps in sequence, or in parallel and then a join, each calling next.
type tree struct {
	steps    int
	parallel bool
}

type treeState struct{ ended, sum int }

func (p tree) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	switch e.Kind {
	case workflow.ExecutionStarted:
		n := 1
		if p.parallel {
			n = p.steps
		}
		calls := make([]workflow.Command, n)
		for i := range calls {
			calls[i] = p.call(i, i)
		}
		return &treeState{}, calls, nil
	case workflow.StepSucceeded:
		t := s.(*treeState)
		data, _ := e.Payload.InHand()
		n, _ := strconv.Atoi(string(data))
		t.ended++
		t.sum += n
		switch {
		case t.ended == p.steps:
			return t, succeed(strconv.Itoa(t.sum)), nil
		case p.parallel:
			return t, nil, nil
		}
		return t, []workflow.Command{p.call(t.ended, n)}, nil
	}
	return s, nil, nil
}

func (tree) call(i, n int) workflow.Command {
	return workflow.Command{Kind: workflow.CommandCall, Step: "step-" + strconv.Itoa(i), Target: next, Payload: workflow.Bytes("", strconv.AppendInt(nil, int64(n), 10))}
}

func (tree) Snapshot(s workflow.State) ([]byte, error) {
	t := s.(*treeState)
	return []byte(strconv.Itoa(t.ended) + " " + strconv.Itoa(t.sum)), nil
}

func (tree) Restore(snapshot []byte, _ workflow.PayloadSource) (workflow.State, error) {
	t := new(treeState)
	for i, c := range snapshot {
		if c == ' ' {
			t.ended, _ = strconv.Atoi(string(snapshot[:i]))
			t.sum, _ = strconv.Atoi(string(snapshot[i+1:]))
			return t, nil
		}
	}
	return nil, faas.Errorf("test", "restore", "", faas.ErrCorrupt, "no space in it")
}

// fixture is an engine over stores in memory.
type fixture struct {
	*engine.Engine
	store  workflow.Store
	config engine.Config
}

// setUp starts an engine with the scripts, each registered under its name.
func setUp(t testing.TB, programs scripts, change func(*engine.Config)) *fixture {
	languages, err := workflow.NewLanguages(programs)
	require.NoError(t, err)
	registry, err := memdefinitions.New(languages)
	require.NoError(t, err)
	for name := range programs {
		_, err := registry.Register(t.Context(), workflow.Definition{Ref: faas.Ref{Name: name}, Language: "script", Source: name})
		require.NoError(t, err)
	}
	store := memstore.New(nil)
	c := engine.Config{Functions: plusOne, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store}
	if change != nil {
		change(&c)
	}
	f := &fixture{store: c.Store, config: c}
	f.open(t)
	t.Cleanup(func() {
		require.NoError(t, f.Close())
		store.Close()
	})
	return f
}

func (f *fixture) open(t testing.TB) {
	e, err := engine.New(f.config)
	require.NoError(t, err)
	f.Engine = e
	require.NoError(t, e.Recover(t.Context()))
}

// restart ends the engine as a crash would, as far as the store can see, and starts another one.
func (f *fixture) restart(t testing.TB) {
	require.NoError(t, f.Close())
	f.config.Scheduler = fifo.New(nil)
	f.open(t)
}

// run starts an execution and waits for its end.
func (f *fixture) run(t testing.TB, req workflow.StartRequest) workflow.Execution {
	ref, err := f.Start(t.Context(), req)
	require.NoError(t, err)
	return f.wait(t, ref)
}

func (f *fixture) wait(t testing.TB, ref workflow.ExecutionRef) workflow.Execution {
	x, err := f.Wait(t.Context(), ref)
	require.NoError(t, err)
	return x
}

func named(name string) workflow.StartRequest {
	return workflow.StartRequest{Workflow: faas.Ref{Name: name}}
}

func text(t testing.TB, p workflow.Payload) string {
	data, err := p.Bytes(t.Context())
	require.NoError(t, err)
	return string(data)
}
