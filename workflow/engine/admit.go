package engine

import (
	"math/rand/v2"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// admit makes an event of a fact, or drops it if it does not concern an open step any more.
func (x *run) admit(f *fact) {
	var err error
	if x.closed() {
		err = x.closedError("deliver")
	} else {
		err = x.take(f)
	}
	if f.reply != nil {
		x.replies = append(x.replies, reply{f.reply, err})
	}
}

func (x *run) take(f *fact) error {
	if x.sealed {
		return x.parked.err
	}
	switch f.kind {
	case factStart:
		x.note(*f.event)
	case factOutcome:
		x.outcome(f)
	case factDue:
		x.due(f)
	case factLimit:
		if s := x.l.open[f.step]; s != nil {
			if s.live.limit != nil && s.live.limit.due.After(x.now) {
				x.e.timers.set(s.live.limit) // the clock went back
				return nil
			}
			x.note(failed(s, &workflow.Failure{Name: workflow.FailureTimeout, Cause: "the step was not done before its deadline"}))
		}
	case factReopen: // the turn has done it
	case factToken:
		return x.byToken(f)
	case factAnswered:
		x.answered(f)
	case factReload:
		x.tryAgain()
	case factSent:
		x.sent(f)
	case factSilent:
		x.silent(f)
	case factDeadline:
		if due := x.l.deadline; !due.IsZero() && due.After(x.now) {
			x.e.timers.set(&x.deadline) // the clock went back
			return nil
		}
		x.expire()
	case factSignal:
		return x.signal(f)
	case factControl:
		return x.control(f)
	case factChild:
		x.child(f)
	}
	return nil
}

// expire ends the execution at its deadline.
func (x *run) expire() {
	x.note(workflow.Event{Kind: workflow.ExecutionTimedOut, Failure: &workflow.Failure{Name: workflow.FailureTimeout, Cause: "the execution was not done before its deadline"}})
}

// outcome ends an attempt: the step succeeds, fails, or is tried again.
func (x *run) outcome(f *fact) {
	s := x.l.open[f.step]
	if f.call != nil {
		if s == nil || s.live.call != f.call {
			return
		}
		s.live.call = nil
		x.ended = append(x.ended, endedCall{f.call, workflow.StepRecord{Workflow: x.record.Workflow, Node: s.cmd.Node, Function: s.cmd.Target,
			Attempt: f.attempt, Ended: x.now, Run: f.run, Cold: f.cold, Failed: f.outcome.failure != nil}})
	} else if s == nil || f.attempt <= s.lost || f.attempt > s.attempt {
		return
	}
	e := workflow.Event{Kind: workflow.StepSucceeded, Step: s.cmd.Step, Node: s.cmd.Node, Name: target(s), Attempt: f.attempt, Began: f.began, Cold: f.cold, Payload: f.outcome.payload}
	if f.outcome.failure == nil {
		x.note(e)
		return
	}
	e.Kind, e.Payload, e.Failure = workflow.StepFailed, workflow.Payload{}, f.outcome.failure
	if f.outcome.failure.Name == workflow.FailureTimeout {
		// It was the deadline that ended the attempt: what the alarm is about to say counts.
		if d := x.l.deadline; !d.IsZero() && !d.After(x.now) {
			x.expire()
			return
		}
		if d := x.deadlineOf(s); !d.IsZero() && !d.After(x.now) {
			x.note(e)
			return
		}
	}
	if rule, delay, ok := again(s, f.outcome.failure.Name); ok {
		e.Kind, e.Rule, e.Due = workflow.StepRetrying, rule, x.now.Add(delay)
		x.dropAttempt(s)
		x.note(e)
		x.again = append(x.again, s)
		return
	}
	x.note(e)
}

// again returns the rule and the delay by which a failed step is tried once more.
func again(s *step, name string) (rule int, delay time.Duration, ok bool) {
	o := s.cmd.Options
	if o == nil || len(o.Retry) == 0 {
		return 0, 0, false
	}
	if rule = o.Retry.Rule(name); rule < 0 {
		return 0, 0, false
	}
	n := 0
	if rule < len(s.retries) {
		n = s.retries[rule]
	}
	r := &o.Retry[rule]
	if n >= r.Max {
		return 0, 0, false
	}
	return rule, r.Delay(n, rand.Float64()), true
}

// failed is the event that a step failed without an attempt that did.
func failed(s *step, f *workflow.Failure) workflow.Event {
	return workflow.Event{Kind: workflow.StepFailed, Step: s.cmd.Step, Node: s.cmd.Node, Name: target(s), Failure: f}
}

// target is what a step's command targets, as events name it.
func target(s *step) string {
	switch s.cmd.Kind {
	case workflow.CommandCall, workflow.CommandChild:
		return s.live.target(s)
	}
	return s.cmd.Name
}

// due ends a timer or a wait, or starts a retry.
func (x *run) due(f *fact) {
	s := x.l.open[f.step]
	if s == nil {
		return
	}
	switch s.cmd.Kind {
	case workflow.CommandTimer:
		if s.cmd.Due.After(x.now) {
			x.again = append(x.again, s) // the clock went back
			return
		}
		x.note(workflow.Event{Kind: workflow.StepSucceeded, Step: s.cmd.Step, Node: s.cmd.Node})
	case workflow.CommandWait:
		if s.cmd.Due.After(x.now) {
			x.again = append(x.again, s)
			return
		}
		x.note(failed(s, &workflow.Failure{Name: workflow.FailureTimeout, Cause: "no signal " + s.cmd.Name + " came in time"}))
	default:
		if f.attempt == s.attempt {
			x.again = append(x.again, s)
		}
	}
}

// signal records a signal, once for each ordinal of a sender.
func (x *run) signal(f *fact) error {
	if f.sender != "" && x.l.heard[f.sender] >= f.ordinal {
		return nil
	}
	failpoint.Hit("engine/before-signal")
	x.note(workflow.Event{Kind: workflow.SignalReceived, Name: f.name, Node: f.sender, From: f.ordinal, Payload: f.outcome.payload})
	return nil
}

// control changes the course of the execution.
func (x *run) control(f *fact) error {
	conflict := func(what string) error {
		return faas.Errorf(component, string(f.action), x.ref.String(), faas.ErrConflict, "the execution %s", what)
	}
	reason := func(name, what string) *workflow.Failure {
		if f.name != "" {
			what += ": " + f.name
		}
		return &workflow.Failure{Name: name, Cause: what}
	}
	switch f.action {
	case workflow.ActionCancel:
		if x.l.canceling {
			return nil // asked already
		}
		x.note(workflow.Event{Kind: workflow.CancelRequested, Failure: reason(workflow.FailureCanceled, "cancelled")})
	case workflow.ActionTerminate:
		x.note(workflow.Event{Kind: workflow.ExecutionTerminated, Failure: reason(workflow.FailureTerminated, "terminated")})
	case workflow.ActionSuspend:
		if x.l.suspended {
			return conflict("is suspended")
		}
		x.note(workflow.Event{Kind: workflow.ExecutionSuspended, Name: f.name})
		x.suspend()
	case workflow.ActionResume:
		if !x.l.suspended {
			return conflict("is not suspended")
		}
		x.note(workflow.Event{Kind: workflow.ExecutionResumed, Name: f.name})
		for s := x.l.first; s != nil; s = s.next {
			if s.live.held {
				x.again = append(x.again, s)
			}
		}
	case workflow.ActionRedrive:
		if x.parked == nil {
			return conflict("is open")
		}
		return x.reload()
	}
	return nil
}
