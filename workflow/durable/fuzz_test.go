package durable_test

import (
	"errors"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

// FuzzStep folds logs that no engine would write: each byte is an event. Whatever comes, Step answers with commands or
// with ErrConflict, and leaves no coroutine behind.
func FuzzStep(f *testing.F) {
	steps := []string{"f", "f#2", "f#3", "activity:pack", "activity:pack#2", "activity:pack#3", "signal:approve", "timer:1", "timer:2",
		"child:ship", "record:region", "patch:sleep", "tidy", "", "f#", "timer:"}
	kinds := []workflow.EventKind{workflow.StepSucceeded, workflow.StepFailed, workflow.StepSucceeded, workflow.CancelRequested,
		workflow.SignalReceived, workflow.ExecutionContinued, workflow.ExecutionSucceeded, workflow.ExecutionStarted}
	code := durable.Workflow("everything", "1", everything)
	l, err := durable.New(nil, code)
	if err != nil {
		f.Fatal(err)
	}
	d := code.Definition()
	p, err := l.Compile(&d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 8})
	f.Add([]byte{0, 1, 0x30, 12})
	f.Add([]byte{0, 1, 2, 3, 4, 5, 0x17, 9, 10, 0x51, 0, 1})
	f.Fuzz(func(t *testing.T, log []byte) {
		e := workflow.Event{Seq: 1, Time: zero, Kind: workflow.ExecutionStarted, Payload: workflow.JSON("1"), Start: start(code)}
		s, _, err := p.Step(nil, &e)
		for _, b := range log {
			if err != nil {
				break
			}
			e.Seq++
			e.Kind, e.Step = kinds[b>>4&7], steps[b&15]
			e.Payload = workflow.JSON([]string{"1", `"text"`}[b>>7])
			var commands []workflow.Command
			s, commands, err = p.Step(s, &e)
			for i, c := range commands {
				if c.Kind.Ends() && i < len(commands)-1 {
					t.Fatalf("%d commands follow the end", len(commands)-1-i)
				}
			}
		}
		if err != nil && !errors.Is(err, faas.ErrConflict) {
			t.Fatal(err)
		}
		p.(workflow.Releaser).Release(s)
	})
}
