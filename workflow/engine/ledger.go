package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// ledger is what an execution's log says: the Program's state, the steps that are open, the signals nobody
// consumed. It is a fold: two ledgers that applied the same events say the same. It reads no clock and does nothing.
type ledger struct {
	program workflow.Program
	state   workflow.State

	ref      workflow.ExecutionRef
	start    *workflow.Start
	began    time.Time // of the first event of the first log
	deadline time.Time // of the execution
	seq      uint64
	time     time.Time
	logs     int
	// epoch tells the logs that a Program began from one another: step IDs are unique within one.
	epoch int

	open        map[string]*step
	first, last *step // in the order they were opened
	waits       map[string][]*step
	signals     map[string][]signal
	matches     []string // names of signals for which a wait may have come together with a signal
	records     []*step  // recorded values that have not succeeded yet
	// failed are the attempts that steps which failed for good had had.
	failed map[string]int
	// heard is the last ordinal of each execution that sent signals.
	heard map[string]uint64

	// outbox are the signals that were sent and may not have arrived.
	outbox       []send
	sentAt, sent uint64 // the event whose commands sent signals last, and how many

	suspended, canceling bool
	note                 string
	attributes           map[string]string
	noted                bool // note or attributes changed since the record was written
	// valid are options that break no rule: commands share them.
	valid *workflow.StepOptions

	undone map[uint64]struct{}
	// end is the command that ended the log, until the event that says so.
	end    *workflow.Command
	status workflow.Status

	// What happened since the effects were last taken.
	fx effects
}

// effects are what is to be done once the events that caused them are durable.
type effects struct {
	opened []*step // some may have ended since
	closed []*step // steps that ended in any way
}

func (fx *effects) reset() {
	clear(fx.opened)
	clear(fx.closed)
	fx.opened, fx.closed = fx.opened[:0], fx.closed[:0]
}

// signal is one that nobody consumed yet.
type signal struct {
	seq   uint64
	value workflow.Payload
}

// send is a signal to another execution. Its ordinal grows within the sending execution.
type send struct {
	to      workflow.ExecutionRef
	name    string
	value   workflow.Payload
	ordinal uint64
	at      time.Time
	again   bool // it may have been delivered before
}

// step is an open step.
type step struct {
	cmd    workflow.Command // not changed any more
	opened time.Time
	// attempt is the one under way or to come, from 1; lost is the last one that is known to have failed.
	attempt, lost int
	// due is when the attempt may start; zero: at once.
	due     time.Time
	retries []int // by rule
	failure *workflow.Failure
	ended   bool

	prev, next *step
	live       live
}

func newLedger(ref workflow.ExecutionRef, program workflow.Program) *ledger {
	return &ledger{ref: ref, program: program, open: make(map[string]*step), status: workflow.StatusRunning}
}

// apply folds one event. An error leaves the ledger of no use.
func (l *ledger) apply(e *workflow.Event) error {
	l.seq, l.time = e.Seq, e.Time
	if _, ok := l.undone[e.Seq]; ok {
		l.forgo(e)
		return nil
	}
	if e.Kind.Closes() {
		l.close(e.Kind.Status())
		return nil
	}
	if l.end != nil {
		if l.end.Kind != workflow.CommandContinue || e.Kind != workflow.ExecutionContinued {
			return l.misfit(e, "the definition had ended the log with a %s", commandName(l.end.Kind))
		}
		l.end = nil
	}
	stray := (e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed) && l.open[e.Step] == nil
	if err := l.admit(e); err != nil {
		return err
	}
	if e.Kind == workflow.ExecutionContinued && isRoll(e) {
		return nil
	}
	commands, err := l.ask(e)
	if err != nil {
		return err
	}
	for i := range commands {
		if l.command(&commands[i]); l.end != nil {
			break
		}
	}
	if stray { // see workflow.Predater
		s := l.open[e.Step]
		if s == nil {
			return l.misfit(e, "the definition did not open the step")
		}
		l.remove(s)
	}
	return nil
}

// expects reports whether the Program can take the outcome of a step.
func (l *ledger) expects(e *workflow.Event) bool {
	if l.end != nil || l.open[e.Step] != nil {
		return l.end == nil
	}
	p, ok := l.program.(workflow.Predater)
	return ok && p.Predates(l.state, e)
}

// close ends the log, and with it every open step.
func (l *ledger) close(status workflow.Status) {
	l.status, l.end = status, nil
	for s := l.first; s != nil; s = s.next {
		l.remove(s)
	}
}

// resend marks the signals of a log that was folded anew: they may have arrived.
func (l *ledger) resend() {
	for i := range l.outbox {
		l.outbox[i].again = true
	}
}

// ask gives the event to the Program. A panic is a fault of the definition's code.
func (l *ledger) ask(e *workflow.Event) (commands []workflow.Command, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = faas.Errorf(component, "fold", l.ref.String(), faas.ErrConflict, "the program panicked at event %d, %s: %v", e.Seq, e.Kind, p)
		}
	}()
	s := l.state
	l.state = nil
	l.state, commands, err = l.program.Step(s, e)
	if err != nil {
		l.state = nil
		return nil, faas.Errorf(component, "fold", l.ref.String(), faas.Class(err), "event %d, %s: %w", e.Seq, e.Kind, err)
	}
	return commands, nil
}

// admit does the engine's own part of an event.
func (l *ledger) admit(e *workflow.Event) error {
	switch e.Kind {
	case workflow.ExecutionStarted:
		l.start, l.began, l.deadline, l.logs, l.attributes = e.Start, e.Time, e.Start.Deadline, 1, e.Start.Attributes
	case workflow.ExecutionContinued:
		l.logs = e.Attempt
		if isRoll(e) {
			return nil
		}
		l.restart(e)
	case workflow.StepSucceeded, workflow.StepFailed:
		s := l.open[e.Step]
		if s == nil {
			return nil // the Program says why that does not fit, or opens the step in answer
		}
		l.remove(s)
		if e.Kind == workflow.StepFailed && e.Attempt > 0 {
			l.remember(e.Step, e.Attempt)
		}
		if e.From != 0 {
			l.consume(s.cmd.Name, e.From)
		}
	case workflow.StepRetrying:
		s := l.open[e.Step]
		if s == nil {
			return l.misfit(e, "the definition did not open the step")
		}
		for len(s.retries) <= e.Rule {
			s.retries = append(s.retries, 0)
		}
		s.retries[e.Rule]++
		s.lost, s.attempt, s.due, s.failure = e.Attempt, e.Attempt+1, e.Due, e.Failure
	case workflow.SignalReceived:
		if l.signals == nil {
			l.signals = make(map[string][]signal)
		}
		l.signals[e.Name] = append(l.signals[e.Name], signal{e.Seq, e.Payload})
		l.matches = append(l.matches, e.Name)
		if e.Node != "" {
			if l.heard == nil {
				l.heard = make(map[string]uint64)
			}
			l.heard[e.Node] = e.From
		}
	case workflow.CancelRequested:
		l.canceling = true
	case workflow.ExecutionSuspended:
		l.suspended = true
	case workflow.ExecutionResumed:
		l.suspended = false
	case workflow.ExecutionRedriven:
		if !l.deadline.IsZero() {
			l.deadline = e.Time.Add(l.start.Deadline.Sub(l.began))
		}
		for s := l.first; s != nil; s = s.next {
			if s.due.Before(e.Time) {
				s.due = e.Time // what was started for the step before is of an earlier attempt
			}
		}
	case workflow.ExecutionRecovered:
		for s := l.first; s != nil; s = s.next {
			if s.cmd.Kind <= workflow.CommandActivity && !s.due.After(e.Time) {
				s.attempt++
			}
		}
	}
	return nil
}

// restart begins a new log of the same execution.
func (l *ledger) restart(e *workflow.Event) {
	for s := l.first; s != nil; s = s.next {
		l.remove(s)
	}
	l.release()
	l.epoch = e.Attempt - 1
	l.start = e.Start
	l.waits, l.signals, l.matches, l.records, l.failed = nil, nil, nil, nil, nil
	l.canceling = false
}

// release drops the Program's state.
func (l *ledger) release() {
	if r, ok := l.program.(workflow.Releaser); ok && l.state != nil {
		r.Release(l.state)
	}
	l.state = nil
}

// misfit is the error for an event that the definition, as it is now, cannot have led to.
func (l *ledger) misfit(e *workflow.Event, format string, args ...any) error {
	err := faas.Errorf(component, "fold", l.ref.String(), faas.ErrConflict, "event %d, %s %q: %s", e.Seq, e.Kind, e.Step, fmt.Sprintf(format, args...))
	err.Next = "run the code that the execution was started with, then redrive it; or terminate it"
	return err
}

// insert makes s the newest open step.
func (l *ledger) insert(s *step) {
	l.open[s.cmd.Step] = s
	if s.prev = l.last; s.prev == nil {
		l.first = s
	} else {
		s.prev.next = s
	}
	l.last = s
	switch s.cmd.Kind {
	case workflow.CommandWait:
		if l.waits == nil {
			l.waits = make(map[string][]*step)
		}
		l.waits[s.cmd.Name] = append(l.waits[s.cmd.Name], s)
		if len(l.signals[s.cmd.Name]) > 0 {
			l.matches = append(l.matches, s.cmd.Name)
		}
	case workflow.CommandRecord:
		l.records = append(l.records, s)
	}
}

// remove ends an open step. Its own links stay, so that a loop over the open steps may remove.
func (l *ledger) remove(s *step) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.ended = true
	delete(l.open, s.cmd.Step)
	l.fx.closed = append(l.fx.closed, s)
}

// remember keeps how many attempts a step had that may be opened again.
func (l *ledger) remember(step string, attempt int) {
	if l.failed == nil {
		l.failed = make(map[string]int)
	}
	l.failed[step] = max(l.failed[step], attempt)
}

// forgo takes of an event that was undone only how many attempts its step had.
func (l *ledger) forgo(e *workflow.Event) {
	if e.Attempt == 0 || e.Step == "" {
		return
	}
	if s := l.open[e.Step]; s != nil {
		s.lost, s.attempt = max(s.lost, e.Attempt), max(s.attempt, e.Attempt+1)
		return
	}
	l.remember(e.Step, e.Attempt)
}

// consume takes the signal with that number away.
func (l *ledger) consume(name string, seq uint64) {
	waiting := l.signals[name]
	for i := range waiting {
		if waiting[i].seq == seq {
			if i == 0 {
				waiting = waiting[1:]
			} else {
				waiting = append(waiting[:i:i], waiting[i+1:]...)
			}
			break
		}
	}
	if len(waiting) == 0 {
		delete(l.signals, name)
	} else {
		l.signals[name] = waiting
	}
}

// unconsumed returns the signals that nobody consumed, as they were received.
func (l *ledger) unconsumed() (events []workflow.Event) {
	for name, waiting := range l.signals {
		for _, s := range waiting {
			events = append(events, workflow.Event{Kind: workflow.SignalReceived, Seq: s.seq, Name: name, Payload: s.value})
		}
	}
	slices.SortFunc(events, func(a, b workflow.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events
}

// own returns the event that the log itself calls for next: a wait met a signal, a recorded value, the
// end. ok is false when there is none. Its Seq, Time and the form of its payload are still to be filled in.
func (l *ledger) own() (e workflow.Event, ok bool) {
	for len(l.records) > 0 && l.end == nil {
		s := l.records[0]
		l.records = l.records[1:]
		if !s.ended {
			return workflow.Event{Kind: workflow.StepSucceeded, Step: s.cmd.Step, Node: s.cmd.Node, Payload: s.cmd.Payload}, true
		}
	}
	for len(l.matches) > 0 && l.end == nil {
		name := l.matches[len(l.matches)-1]
		waits := l.waits[name]
		for len(waits) > 0 && waits[0].ended {
			waits = waits[1:]
		}
		if len(waits) == 0 {
			delete(l.waits, name)
		} else {
			l.waits[name] = waits
		}
		if signals := l.signals[name]; len(signals) > 0 && len(waits) > 0 {
			s := waits[0]
			return workflow.Event{Kind: workflow.StepSucceeded, Step: s.cmd.Step, Node: s.cmd.Node, Name: name, From: signals[0].seq, Payload: signals[0].value}, true
		}
		l.matches = l.matches[:len(l.matches)-1]
	}
	if l.end == nil {
		return workflow.Event{}, false
	}
	switch end := l.end; end.Kind {
	case workflow.CommandSucceed:
		return workflow.Event{Kind: workflow.ExecutionSucceeded, Payload: end.Payload}, true
	case workflow.CommandContinue:
		return workflow.Event{Kind: workflow.ExecutionContinued, Payload: end.Payload}, true
	default:
		kind := workflow.ExecutionFailed
		if l.canceling && end.Failure.Name == workflow.FailureCanceled {
			kind = workflow.ExecutionCanceled
		}
		return workflow.Event{Kind: kind, Failure: end.Failure}, true
	}
}
