package programtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/joinery/faas/workflow"
)

// maxEvents ends an execution that does not end by itself.
const maxEvents = 200_000

// Record is what became of a played execution.
type Record struct {
	// Events are the log, without the closing event.
	Events []workflow.Event
	// Commands are those that followed from each event.
	Commands [][]workflow.Command
	// End is the command that ended the log; nil if nothing was left to happen and it had not ended.
	End *workflow.Command
}

// Output is the output of an execution that succeeded, as text; else how it failed.
func (r *Record) Output() string {
	switch {
	case r.End == nil:
		return "not ended"
	case r.End.Kind == workflow.CommandFail:
		return "failed: " + r.End.Failure.Error()
	}
	data, ok := r.End.Payload.InHand()
	if !ok {
		return "held by reference"
	}
	return string(data)
}

// Opened returns the commands that opened steps, in order.
func (r *Record) Opened() (opened []workflow.Command) {
	for _, commands := range r.Commands {
		for _, c := range commands {
			if c.Kind.Opens() {
				opened = append(opened, c)
			}
		}
	}
	return opened
}

// player drives a Program the way an engine does: it decides what happens next, in virtual time.
type player struct {
	tb      testing.TB
	program workflow.Program
	c       Case
	record  *Record
	state   workflow.State
	now     time.Time
	open    []workflow.Command // in the order they were opened
	tries   map[string]int
	signals []int // indexes of SignalReceived events nobody consumed
	ended   bool
}

// Play folds a case to its end: calls, activities, children and recorded values first, in the order they were opened, then
// the timers in the order of their times. Every broken rule of a Program is a failure of tb.
func Play(tb testing.TB, program workflow.Program, d *workflow.Definition, c Case) *Record {
	tb.Helper()
	p := &player{tb: tb, program: program, c: c, record: &Record{}, now: Epoch(), tries: map[string]int{}}
	p.event(workflow.Event{Kind: workflow.ExecutionStarted, Payload: c.Input, Start: &workflow.Start{
		Execution: workflow.ExecutionRef{Namespace: "kit", ID: "x", Run: 1}, Definition: *d, Seed: 42, Secret: []byte("secret"), Attributes: c.Attributes,
	}})
	for _, s := range c.Signals {
		if !p.ended {
			p.signals = append(p.signals, len(p.record.Events))
			p.event(workflow.Event{Kind: workflow.SignalReceived, Name: s.Name, Payload: s.Value})
		}
	}
	outcomes := 0
	for !p.ended && len(p.record.Events) < maxEvents {
		if c.CancelAt > 0 && outcomes == c.CancelAt {
			p.event(workflow.Event{Kind: workflow.CancelRequested, Failure: &workflow.Failure{Name: workflow.FailureCanceled, Cause: "the kit asked"}})
		} else if !p.next() {
			break
		}
		outcomes++
	}
	release(program, p.state)
	return p.record
}

func (p *player) event(e workflow.Event) {
	p.tb.Helper()
	e.Seq, e.Time = uint64(len(p.record.Events)+1), p.now
	p.now = p.now.Add(time.Millisecond)
	var commands []workflow.Command
	var err error
	p.state, commands, err = p.program.Step(p.state, &e)
	if err != nil {
		p.tb.Fatalf("%s: event %d, %s %q: %v", p.c.Name, e.Seq, e.Kind, e.Step, err)
	}
	p.record.Events = append(p.record.Events, e)
	p.record.Commands = append(p.record.Commands, commands)
	for i := range commands {
		p.command(&commands[i])
	}
}

func (p *player) command(c *workflow.Command) {
	switch {
	case p.ended:
		p.tb.Errorf("%s: command %d of step %q follows the one that ended the log", p.c.Name, c.Kind, c.Step)
	case c.Kind.Opens():
		p.open = append(p.open, *c)
		p.tries[c.Step]++
	case c.Kind == workflow.CommandClose:
		p.remove(c.Step)
	case c.Kind.Ends():
		p.ended, p.record.End = true, c
	}
}

func (p *player) remove(step string) {
	for i := range p.open {
		if p.open[i].Step == step {
			p.take(i)
			return
		}
	}
	p.tb.Errorf("%s: the step %q is closed and was not open", p.c.Name, step)
}

// next ends one open step and reports whether there was one that can end.
func (p *player) next() bool {
	best := -1
	for i, c := range p.open {
		switch c.Kind {
		case workflow.CommandTimer, workflow.CommandWait:
			if c.Kind == workflow.CommandWait && p.signal(c.Name) >= 0 {
				p.deliver(i)
				return true
			}
			if !c.Due.IsZero() && (best < 0 || c.Due.Before(p.open[best].Due)) {
				best = i
			}
		default:
			p.answer(i)
			return true
		}
	}
	if best < 0 {
		return false
	}
	c := p.take(best)
	if c.Due.After(p.now) {
		p.now = c.Due
	}
	if c.Kind == workflow.CommandWait {
		p.event(outcome(c, workflow.Event{Kind: workflow.StepFailed, Failure: &workflow.Failure{Name: workflow.FailureTimeout, Cause: "no signal came"}}))
		return true
	}
	p.event(outcome(c, workflow.Event{Kind: workflow.StepSucceeded}))
	return true
}

// signal returns the position of the oldest unconsumed signal of that name, or -1.
func (p *player) signal(name string) int {
	for at, i := range p.signals {
		if p.record.Events[i].Name == name {
			return at
		}
	}
	return -1
}

func (p *player) deliver(i int) {
	c := p.take(i)
	at := p.signal(c.Name)
	from := p.record.Events[p.signals[at]]
	p.signals = append(p.signals[:at:at], p.signals[at+1:]...)
	p.event(outcome(c, workflow.Event{Kind: workflow.StepSucceeded, Payload: from.Payload, From: from.Seq}))
}

func (p *player) take(i int) workflow.Command {
	c := p.open[i]
	if i == 0 { // most often, and there may be thousands
		p.open = p.open[1:]
	} else {
		p.open = append(p.open[:i], p.open[i+1:]...)
	}
	return c
}

func (p *player) answer(i int) {
	c := p.take(i)
	o := Outcome{Output: c.Payload}
	if p.c.Answer != nil && c.Kind != workflow.CommandRecord {
		o = p.c.Answer(c, p.tries[c.Step])
	}
	e := workflow.Event{Kind: workflow.StepSucceeded, Payload: o.Output, Attempt: 1, Began: p.now}
	if o.Failure != nil {
		e.Kind, e.Payload, e.Failure = workflow.StepFailed, workflow.Payload{}, o.Failure
	}
	p.event(outcome(c, e))
}

// outcome completes an event with what it takes over from the command.
func outcome(c workflow.Command, e workflow.Event) workflow.Event {
	if e.Step, e.Node = c.Step, c.Node; e.Node == "" {
		e.Node = c.Step
	}
	return e
}

// fold steps through events and returns the state and the commands, or the first error.
func fold(p workflow.Program, s workflow.State, events []workflow.Event) (workflow.State, [][]workflow.Command, error) {
	var all [][]workflow.Command
	for i := range events {
		e := events[i]
		var commands []workflow.Command
		var err error
		if s, commands, err = p.Step(s, &e); err != nil {
			return nil, all, fmt.Errorf("event %d, %s %q: %w", e.Seq, e.Kind, e.Step, err)
		}
		all = append(all, commands)
	}
	return s, all, nil
}
