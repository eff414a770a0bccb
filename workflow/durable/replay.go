package durable

import (
	"bytes"
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Replay checks recorded history against the code that l has now, without doing anything: it is a
// test for the histories of executions that a change of the code must not break. history is the whole log of one
// execution, as Engine.History gives it or as an export of it; payloads held by reference must
// have their source. It returns nil if the code takes the same course, and else the first difference: ErrConflict, as
// Program.Step explains it, or for an end that differs. Errors: also those of Language.Compile, and
// ErrInvalidArgument for a history without a beginning.
func Replay(l *Language, history []workflow.Event) error {
	undone := map[uint64]bool{}
	for i := range history {
		for _, seq := range history[i].Undone {
			undone[seq] = true
		}
	}
	var p workflow.Program
	var s workflow.State
	var end *workflow.Command
	defer func() {
		if p != nil {
			p.(*program).Release(s)
		}
	}()
	for i := range history {
		e := &history[i]
		if undone[e.Seq] {
			continue
		}
		if p == nil {
			if e.Start == nil {
				return faas.Errorf(Name, "replay", "", faas.ErrInvalidArgument, "event %d is %s; a history begins with execution-started", e.Seq, e.Kind)
			}
			var err error
			if p, err = l.Compile(&e.Start.Definition); err != nil {
				return err
			}
		}
		if trimmed := e.Kind == workflow.ExecutionContinued && i > 0 && history[i-1].Seq != e.Seq-1; !trimmed {
			if what := differs(e, end); what != "" {
				return faas.Errorf(Name, "replay", history[0].Start.Execution.String(), faas.ErrConflict, "at event %d (%s) %s", e.Seq, e.Kind, what)
			}
		}
		next, commands, err := p.Step(s, e)
		if s = next; err != nil {
			return err
		}
		if end = nil; len(commands) > 0 && commands[len(commands)-1].Kind.Ends() {
			end = &commands[len(commands)-1]
		}
	}
	return nil
}

// differs says how the event differs from the end that the code came to; end is nil if it came to none.
func differs(e *workflow.Event, end *workflow.Command) string {
	kind := workflow.CommandKind(0)
	if end != nil {
		kind = end.Kind
	}
	course := map[workflow.CommandKind]string{0: "goes on", workflow.CommandSucceed: "succeeds", workflow.CommandFail: "fails", workflow.CommandContinue: "continues as new"}[kind]
	if kind == workflow.CommandFail {
		course += " with " + end.Failure.Error()
	}
	switch e.Kind {
	case workflow.StepSucceeded, workflow.StepFailed:
		if end != nil {
			return fmt.Sprintf("the history goes on with step %q, but the code %s", e.Step, course)
		}
	case workflow.ExecutionSucceeded, workflow.ExecutionContinued:
		if want := map[workflow.EventKind]workflow.CommandKind{workflow.ExecutionSucceeded: workflow.CommandSucceed, workflow.ExecutionContinued: workflow.CommandContinue}[e.Kind]; kind != want {
			return "the code " + course
		}
		old, err := e.Payload.Bytes(context.Background())
		if err != nil {
			return "the history's payload cannot be read: " + err.Error()
		}
		if now, _ := end.Payload.InHand(); !bytes.Equal(old, now) {
			return fmt.Sprintf("the history has %.200q, the code %.200q", old, now)
		}
	case workflow.ExecutionFailed, workflow.ExecutionCanceled:
		name := ""
		if e.Failure != nil {
			name = e.Failure.Name
		}
		if engine := end == nil && (name == workflow.FailureLimit || name == workflow.FailureProgram); !engine && (kind != workflow.CommandFail || end.Failure.Name != name) {
			return fmt.Sprintf("the history fails with %s, but the code %s", name, course)
		}
	}
	return ""
}
