package durable_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var zero = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// host drives a Program by hand: it records what tests let happen and keeps the steps that are open.
type host struct {
	tb       testing.TB
	program  workflow.Program
	state    workflow.State
	log      []workflow.Event
	commands [][]workflow.Command // by event
	open     []workflow.Command   // in the order of their opening
	end      *workflow.Command
	now      time.Time
}

func compile(tb testing.TB, o *durable.Options, code durable.Code) workflow.Program {
	tb.Helper()
	lang, err := durable.New(o, code)
	require.NoError(tb, err)
	d := code.Definition()
	p, err := lang.Compile(&d)
	require.NoError(tb, err)
	return p
}

// begin starts an execution of the code.
func begin(tb testing.TB, code durable.Code, input any) *host {
	tb.Helper()
	h := &host{tb: tb, program: compile(tb, nil, code), now: zero}
	tb.Cleanup(h.release)
	p, err := workflow.MarshalPayload(input)
	require.NoError(tb, err)
	require.NoError(tb, h.event(workflow.Event{Kind: workflow.ExecutionStarted, Payload: p, Start: start(code)}))
	return h
}

func start(code durable.Code) *workflow.Start {
	return &workflow.Start{Execution: workflow.ExecutionRef{Namespace: "default", ID: "x", Run: 1}, Definition: code.Definition(), Seed: 42, Secret: []byte("secret")}
}

func (h *host) release() {
	if r := h.program.(workflow.Releaser); h.state != nil {
		r.Release(h.state)
		h.state = nil
	}
}

// event appends e and folds it.
func (h *host) event(e workflow.Event) error {
	h.now = h.now.Add(time.Millisecond)
	e.Seq, e.Time = uint64(len(h.log)+1), h.now
	h.log = append(h.log, e)
	state, commands, err := h.program.Step(h.state, &e)
	h.state = state
	if err != nil {
		return err
	}
	h.commands = append(h.commands, commands)
	for _, c := range commands {
		switch {
		case h.end != nil:
			h.tb.Fatalf("%v follows the end", c)
		case c.Kind.Opens():
			require.False(h.tb, slices.ContainsFunc(h.open, func(o workflow.Command) bool { return o.Step == c.Step }), "step %s was opened twice", c.Step)
			h.open = append(h.open, c)
		case c.Kind == workflow.CommandClose:
			n := len(h.open)
			h.drop(c.Step)
			require.Less(h.tb, len(h.open), n, "step %s was closed but not open", c.Step)
		case c.Kind.Ends():
			h.end = &c
		}
	}
	if e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed {
		h.drop(e.Step) // opened in answer to its outcome
	}
	return nil
}

func (h *host) drop(step string) {
	h.open = slices.DeleteFunc(h.open, func(o workflow.Command) bool { return o.Step == step })
}

func (h *host) command(step string) workflow.Command {
	h.tb.Helper()
	i := slices.IndexFunc(h.open, func(o workflow.Command) bool { return o.Step == step })
	require.GreaterOrEqual(h.tb, i, 0, "step %s is not open; open: %v", step, h.steps())
	return h.open[i]
}

func (h *host) steps() []string {
	names := []string{}
	for _, c := range h.open {
		names = append(names, c.Step)
	}
	return names
}

// outcome makes the event that ends the step.
func outcome(c workflow.Command, out any, failure *workflow.Failure) workflow.Event {
	e := workflow.Event{Kind: workflow.StepSucceeded, Step: c.Step, Node: c.Node, Name: c.Name, Failure: failure}
	if c.Kind == workflow.CommandCall || c.Kind == workflow.CommandChild {
		e.Name = c.Target.String()
	}
	switch out := out.(type) {
	case nil:
	case workflow.Payload:
		e.Payload = out
	default:
		e.Payload, _ = workflow.MarshalPayload(out)
	}
	if failure != nil {
		e.Kind = workflow.StepFailed
	}
	return e
}

func (h *host) succeed(step string, out any) {
	h.tb.Helper()
	c := h.command(step)
	if c.Kind == workflow.CommandTimer {
		h.now = c.Due
	}
	h.drop(step)
	require.NoError(h.tb, h.event(outcome(c, out, nil)))
}

func (h *host) fail(step, name string) {
	h.tb.Helper()
	c := h.command(step)
	h.drop(step)
	require.NoError(h.tb, h.event(outcome(c, nil, &workflow.Failure{Name: name, Cause: "as told"})))
}

func (h *host) cancel() {
	h.tb.Helper()
	require.NoError(h.tb, h.event(workflow.Event{Kind: workflow.CancelRequested, Failure: &workflow.Failure{Name: workflow.FailureCanceled, Cause: "by the test"}}))
}

// output is that of an execution that succeeded.
func (h *host) output() string {
	h.tb.Helper()
	require.NotNil(h.tb, h.end, "open: %v", h.steps())
	require.Equal(h.tb, workflow.CommandSucceed, h.end.Kind, "%+v", h.end.Failure)
	data, err := h.end.Payload.Bytes(context.Background())
	require.NoError(h.tb, err)
	return string(data)
}

func (h *host) failure() *workflow.Failure {
	h.tb.Helper()
	require.NotNil(h.tb, h.end, "open: %v", h.steps())
	require.Equal(h.tb, workflow.CommandFail, h.end.Kind)
	return h.end.Failure
}

// refold folds the log anew, from its beginning, and compares the commands of each event.
func (h *host) refold(program workflow.Program) {
	h.tb.Helper()
	var s workflow.State
	for i := range h.log {
		next, commands, err := program.Step(s, &h.log[i])
		require.NoError(h.tb, err)
		require.Equal(h.tb, show(h.commands[i]), show(commands), "commands of event %d", i+1)
		s = next
	}
	program.(workflow.Releaser).Release(s)
}

func show(commands []workflow.Command) string {
	text, err := json.Marshal(commands)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func fn(name string) faas.Ref { return faas.Ref{Name: name} }
