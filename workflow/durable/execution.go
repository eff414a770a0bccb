package durable

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// execution is the State: the coroutines of one execution, where they wait, and what they asked for.
type execution struct {
	program *program
	start   *workflow.Start
	input   workflow.Payload

	now      time.Time
	seq      uint64 // of the event that is folded
	first    uint64 // of the log's first event
	commands []workflow.Command
	root     scope
	random   *rand.Rand // nil until it is asked for
	queries  map[string]query

	// open steps by ID; how many were opened under each base of an ID; the last one.
	open    map[string]*future
	counts  map[string]int
	scratch []byte // of nextID
	last    atomic.Pointer[future]
	// patches are the decided patch markers, pending those whose outcome is not known yet, oldest first.
	patches map[string]bool
	pending []*marker
	noted   bool                  // the code set a note, or we did
	checked *workflow.StepOptions // the last that were found valid

	// The coroutines (see coroutine.go).
	main                coroutine
	ready               []*coroutine // from head on
	head                int
	current             *coroutine
	firstLive, lastLive *coroutine
	spawned             int
	idle                chan struct{}
	watch               *watch
	// ended: a command that ends the log was given. aborted: Step fails with it.
	ended    bool
	aborted  error
	released bool
	querying bool // a query handler runs
	// failed: the workflow's function returned an error; blame are the steps whose failures are in it. compensated: a
	// Saga has undone something.
	failed, compensated bool
	blame               []string
	// lost: coroutines did not come back; x is theirs now. back: they did after all.
	lost, back atomic.Bool
}

// longLog is the number of events from which an execution without a note of its own says that
// it should continue as new: recovery folds the whole log.
const longLog = 50_000

func newExecution(p *program, e *workflow.Event) *execution {
	x := &execution{
		program: p, start: e.Start, input: e.Payload, now: e.Time, seq: e.Seq, first: e.Seq,
		open: map[string]*future{}, counts: map[string]int{}, idle: make(chan struct{}, 1),
	}
	x.root.x = x
	x.add(&x.main, func() {
		out, err := p.code.run(Context{x, &x.root}, x.input)
		x.finish(out, err)
	})
	return x
}

// feed folds one event; coroutines that can go on are queued.
func (x *execution) feed(e *workflow.Event) error {
	f, err := x.match(e)
	if err != nil {
		return err
	}
	x.now, x.seq = e.Time, e.Seq
	switch {
	case f != nil && e.Kind == workflow.StepSucceeded:
		x.settle(f, e.Payload, nil, nil)
	case f != nil:
		x.settle(f, workflow.Payload{}, nil, failed(f.what(), f.id, e.Failure))
	case e.Kind == workflow.CancelRequested && !x.ended:
		cause := "cancellation was requested"
		if e.Failure != nil && e.Failure.Cause != "" {
			cause = e.Failure.Cause
		}
		x.root.cancel(&workflow.Failure{Name: workflow.FailureCanceled, Cause: cause})
	}
	if !x.noted && !x.ended && x.seq-x.first >= longLog {
		x.annotate(fmt.Sprintf("the log has %d events: recovery folds them all, so this workflow should return ContinueAsNew now and then", x.seq-x.first), nil)
	}
	return nil
}

// match returns the open step that the event ends, or nil if it ends none.
func (x *execution) match(e *workflow.Event) (*future, error) {
	switch e.Kind {
	case workflow.StepSucceeded, workflow.StepFailed:
	case workflow.ExecutionSucceeded:
		if !x.ended {
			return nil, x.diverged(e, "is the execution's end with success, which the code did not reach")
		}
		return nil, nil
	default:
		return nil, nil
	}
	f := x.open[e.Step]
	for f == nil && len(x.pending) > 0 && !x.ended {
		// The outcome of a step that the code has not opened, while it waits for a patch marker:
		// the log was written by code that did not have the patch.
		if err := x.predates(); err != nil {
			return nil, err
		}
		f = x.open[e.Step]
	}
	if f == nil || x.ended {
		return nil, x.diverged(e, "is the outcome of a step that the code does not have open")
	}
	if e.Node != "" && e.Node != f.node || e.Name != "" && !f.targets(e.Name) {
		return nil, x.diverged(e, fmt.Sprintf("is the outcome of %s, but the code opened step %q as %s", describe(e.Node, e.Name), f.id, f.what()))
	}
	delete(x.open, e.Step)
	return f, nil
}

// turn lets the coroutines run and says what became of that.
func (x *execution) turn() error {
	if !x.run() {
		x.lost.Store(true)
		x.program.stuck.Store(x.start.Execution, x)
		return x.overran()
	}
	if x.aborted != nil {
		return x.aborted
	}
	if !x.ended && len(x.open) == 0 {
		x.deadlock()
	}
	return nil
}

// timerBase is the base of timers' IDs: "timer:1", "timer:2".
const timerBase = "timer:"

// nextID returns the ID of the next step of that base: "charge", "charge#2".
func (x *execution) nextID(base string) string {
	n := x.counts[base] + 1
	x.counts[base] = n
	if n == 1 && base != timerBase {
		return base
	}
	id := append(x.scratch[:0], base...)
	if base != timerBase {
		id = append(id, '#')
	}
	id = strconv.AppendInt(id, int64(n), 10)
	x.scratch = id
	return string(id)
}

func (x *execution) command(c workflow.Command) { x.commands = append(x.commands, c) }

// settle ends a future and wakes who waits for it.
func (x *execution) settle(f *future, p workflow.Payload, value any, err error) {
	f.payload, f.value, f.err, f.settled = p, value, err, true
	f.scope.remove(f)
	if f.waiter != nil {
		x.wake(f.waiter)
	}
	for _, co := range f.more {
		x.wake(co)
	}
	f.waiter, f.more = nil, nil
	if f.then != nil {
		f.then()
	}
}

// close gives an open step up.
func (x *execution) close(f *future, err error) {
	x.command(workflow.Command{Kind: workflow.CommandClose, Step: f.id})
	delete(x.open, f.id)
	x.settle(f, workflow.Payload{}, nil, err)
}

// annotate sets note and attributes.
func (x *execution) annotate(note string, attributes map[string]string) {
	x.noted = x.noted || note != ""
	x.command(workflow.Command{Kind: workflow.CommandAnnotate, Note: note, Attributes: attributes})
}

// finish ends the log as the workflow's function returned.
func (x *execution) finish(out workflow.Payload, err error) {
	if x.ended {
		return
	}
	x.ended = true
	if err == nil {
		x.command(workflow.Command{Kind: workflow.CommandSucceed, Payload: out})
	} else if again := continuation(err); again != nil {
		x.command(workflow.Command{Kind: workflow.CommandContinue, Payload: again.input})
	} else {
		x.failed, x.blame = true, failedSteps(err)
		x.command(workflow.Command{Kind: workflow.CommandFail, Failure: failure(err)})
	}
}

// broken ends the log because the code cannot go on.
func (x *execution) broken(reason any, stack string) {
	if x.ended {
		return
	}
	x.ended = true
	f := &workflow.Failure{Name: workflow.FailureProgram, Cause: fmt.Sprintf("panic in workflow %s: %v", x.program.code.id(), reason)}
	if stack != "" {
		f.Details = workflow.Bytes("text/plain", []byte(stack))
	}
	x.command(workflow.Command{Kind: workflow.CommandFail, Failure: f})
}

// deadlock ends the log when nothing can happen any more that a coroutine waits for.
func (x *execution) deadlock() {
	var text strings.Builder
	for co := x.firstLive; co != nil; co = co.next {
		for _, f := range co.on {
			if f.kind == kindDone {
				return // it waits to be cancelled
			}
		}
		fmt.Fprintf(&text, "; coroutine %d waits for %s", co.number, co.waitsFor())
	}
	x.ended = true
	x.command(workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureProgram,
		Cause: fmt.Sprintf("deadlock in workflow %s: no step is open%s", x.program.code.id(), text.String())}})
}

// fault is an error of Step.
func (x *execution) fault(class error, format string, args ...any) *faas.Error {
	return faas.Errorf("durable", "step", x.start.Execution.String(), class, format, args...)
}

// diverged is the error for an event that does not fit the code.
func (x *execution) diverged(e *workflow.Event, how string) error {
	var open []string
	for co := x.firstLive; co != nil && len(open) < 5; co = co.next {
		if x.ended {
			break
		}
		open = append(open, co.waitsFor())
	}
	state := "had ended"
	if !x.ended {
		state = "waits for " + strings.Join(open, ", ")
	}
	step := ""
	if e.Step != "" {
		step = fmt.Sprintf("history has step %q (%s); ", e.Step, describe(e.Node, e.Name))
	}
	err := x.fault(faas.ErrConflict, "workflow %s does not fit its history at event %d (%s): it %s; %sthe code, after event %d, %s; the last step it opened is %s",
		x.program.code.id(), e.Seq, e.Kind, how, step, x.seq, state, x.last.Load().describe())
	err.Next = "either the code was changed under its executions (give changed code a new version, or guard the change with Patched)," +
		" or it is not deterministic (a clock, a random number, the order of a map, a goroutine, anything read from outside)"
	return err
}

// overran is the error for code that did not come back in time.
func (x *execution) overran() error {
	err := x.fault(faas.ErrTimeout, "workflow %s did not wait in a durable call for %v after event %d; the last step it opened is %s%s",
		x.program.code.id(), x.program.budget, x.seq, x.last.Load().describe(), wild())
	err.Next = "workflow code must not block or loop outside of durable calls: put that into a function or an activity"
	return err
}
