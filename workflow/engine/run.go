package engine

import (
	"context"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// run is one open execution. What concerns it comes as facts into its inbox, and whoever brings one takes
// the execution's turns if nobody does: an idle execution has no goroutine. A turn makes events of all
// facts that are there, folds them, appends them in one batch, and only then acts on what follows.
type run struct {
	e       *Engine
	ref     workflow.ExecutionRef
	store   workflow.Store
	program workflow.Program
	source  *source
	prefix  string // of idempotency keys

	mu    sync.Mutex
	inbox []fact
	box   *[]fact // where inbox came from
	busy  bool    // somebody takes turns
	gone  bool    // closed or given up: facts are refused
	done  chan struct{}
	final workflow.Execution // once gone

	turn sync.Mutex // guards what follows
	turnState
}

// turnState belongs to whoever takes the turn.
type turnState struct {
	l       *ledger
	record  workflow.Execution
	now     time.Time // of the turn
	durable uint64    // Seq of the last event in the store
	buffers
	lent      *buffers // where buffers came from; nil between turns
	batch     workflow.Batch
	target    named // of the last step that was called
	deadline  alarm
	parked    *parked
	reloading alarm
	sealed    bool // the log cannot be read: nothing is appended
	over      bool // the engine has ended: the Program's state is gone
	unopened  bool // recovered, and not gone on with yet
	sending   bool // a signal to another execution is under way
	marks     marks
	stuck     int   // how often the append of the pending batch has failed
	born      error // why the first append failed
}

// reply answers who brought a fact.
type reply struct {
	to  chan<- error
	err error
}

// factKind is what a fact is about.
type factKind uint8

const (
	factStart    factKind = iota + 1 // the first one
	factOutcome                      // an attempt ended
	factDue                          // a timer, a retry or a wait is due
	factLimit                        // a step's deadline passed
	factDeadline                     // the execution's deadline passed
	factSignal
	factControl
	factReopen   // after a restart
	factToken    // an attempt ended by its token
	factAnswered // the function of a callback has answered
	factReload   // a parked execution may go on
	factSent     // a signal to another execution has arrived
	factChild    // a child started or ended
	factSilent   // an attempt's time is over, or its heartbeat did not come
	factWake     // nothing new: go on
)

// fact is something that happened to an execution.
type fact struct {
	kind    factKind
	step    string
	attempt int
	call    *call // whose outcome it is; nil if it came by a token
	outcome outcome
	began   time.Time
	run     time.Duration
	cold    time.Duration
	// name of a signal or the reason of a control.
	name    string
	action  workflow.Action
	child   workflow.ExecutionRef
	sender  string
	ordinal uint64
	event   *workflow.Event
	reply   chan<- error
}

// post brings a fact.
func (x *run) post(f fact) {
	if c := x.deliver(f); c != nil {
		x.e.sched.start(c)
	}
}

// deliver brings a fact. It may return a call for the caller to make in its own goroutine.
func (x *run) deliver(f fact) *call {
	x.mu.Lock()
	if x.gone {
		x.mu.Unlock()
		x.refuse(&f)
		return nil
	}
	if f.reply != nil && x.e.health.Load() != nil {
		x.mu.Unlock()
		f.reply <- x.e.Health()
		return nil
	}
	if x.inbox == nil {
		if box, ok := inboxes.Get().(*[]fact); ok {
			x.box, x.inbox = box, *box
		}
	}
	x.inbox = append(x.inbox, f)
	if x.busy {
		x.mu.Unlock()
		return nil
	}
	x.busy = true
	x.mu.Unlock()
	return x.drain()
}

// refuse answers a fact that comes too late.
func (x *run) refuse(f *fact) {
	if f.reply != nil {
		f.reply <- x.closedError("deliver")
	}
}

func (x *run) closedError(op string) error {
	if x.e.state.Load() == phaseClosed {
		return faas.Errorf(component, op, x.ref.String(), faas.ErrClosed, "the engine was closed")
	}
	return faas.Errorf(component, op, x.ref.String(), faas.ErrConflict, "the execution has closed")
}

// drain takes turns until the inbox is empty. The caller has set busy.
func (x *run) drain() (mine *call) {
	for {
		x.mu.Lock()
		if len(x.inbox) == 0 || x.gone {
			rest := x.inbox // of one that is gone
			x.inbox, x.box, x.busy = nil, nil, false
			x.mu.Unlock()
			for i := range rest {
				x.refuse(&rest[i])
			}
			return mine
		}
		facts, box := x.inbox, x.box
		x.inbox, x.box = nil, nil
		x.mu.Unlock()
		if mine != nil {
			x.e.sched.start(mine)
		}
		var stuck bool
		if mine, stuck = x.takeTurn(facts); stuck {
			return nil // and busy: retry goes on with it
		}
		lend(facts, box)
	}
}

// takeTurn makes events of the facts and acts on what follows.
func (x *run) takeTurn(facts []fact) (mine *call, stuck bool) {
	x.turn.Lock()
	defer x.turn.Unlock()
	if x.over {
		for i := range facts {
			x.refuse(&facts[i])
		}
		return nil, false
	}
	x.borrow()
	x.now = x.e.now()
	if x.now.Before(x.l.time) {
		x.now = x.l.time
	}
	if x.unopened {
		x.reopen()
		x.settle()
	}
	for i := range facts {
		x.admit(&facts[i])
		x.settle() // before the next fact, which may be too late then
	}
	return x.conclude()
}

// conclude makes the turn's events durable and acts on them.
func (x *run) conclude() (mine *call, stuck bool) {
	if len(x.events) > 0 {
		if err := x.append(); err != nil && x.appendFailed(err) {
			return nil, true
		}
	}
	return x.act(), false
}

// note makes an event of what happened and folds it.
func (x *run) note(e workflow.Event) {
	e.Seq, e.Time = x.l.seq+1, x.now
	e.Payload = x.source.keep(e.Payload)
	if e.Failure != nil {
		if details := x.source.keep(e.Failure.Details); !details.Equal(e.Failure.Details) {
			f := *e.Failure
			f.Details = details
			e.Failure = &f
		}
	}
	x.events = append(x.events, e)
	x.fold(&x.events[len(x.events)-1])
}

// fold applies an event, unless the Program has failed: then the event is only kept, for when it works again.
func (x *run) fold(e *workflow.Event) {
	if x.parked != nil {
		x.l.seq, x.l.time = e.Seq, e.Time
		if e.Kind.Closes() {
			x.l.close(e.Kind.Status())
		} else if s := x.l.open[e.Step]; s != nil && (e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed) {
			x.l.remove(s)
		}
		return
	}
	if err := x.l.apply(e); err != nil {
		x.park(err)
	}
}

// settle adds what follows from the log itself.
func (x *run) settle() {
	for x.parked == nil && !x.closed() {
		if len(x.l.open) > x.e.limits.OpenSteps && x.l.end == nil {
			x.l.end = &workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureLimit,
				Cause: "more steps are open than Limits.OpenSteps allows"}}
		}
		if len(x.events) >= maxBatch && x.l.end == nil {
			x.mu.Lock()
			x.inbox = append(x.inbox, fact{kind: factWake})
			x.mu.Unlock()
			return
		}
		e, ok := x.l.own()
		if !ok {
			x.roll()
			return
		}
		if e.Kind == workflow.ExecutionContinued {
			x.continued(&e)
			continue
		}
		x.note(e)
	}
}

// maxBatch bounds the events of one batch, for definitions that record values without end.
const maxBatch = 4096

// closed reports whether the log has its last event.
func (x *run) closed() bool { return !x.l.status.Open() }

// append commits the turn's events.
func (x *run) append() error {
	b := &x.batch
	if b.Events == nil { // else it is one that was not stored, tried once more as it is
		b.Execution, b.After, b.Events, b.Payloads = x.ref, x.durable, x.events, x.source.pending()
		if x.refreshRecord() || b.After == 0 {
			b.Record = &x.record
		}
		x.mark(b)
	}
	failpoint.Hit("engine/before-append")
	if err := x.store.Append(context.Background(), b); err != nil {
		return err
	}
	failpoint.Hit("engine/after-append")
	if x.e.noSpace.Load() {
		x.e.noSpace.Store(false)
	}
	x.durable = x.l.seq
	x.source.stored()
	clear(x.events)
	x.events = x.events[:0]
	*b = workflow.Batch{}
	return nil
}

// refreshRecord brings the record up to date and reports whether it changed.
func (x *run) refreshRecord() bool {
	r, l := &x.record, x.l
	changed := l.noted || r.Logs != l.logs || !r.Deadline.Equal(l.deadline)
	r.Logs, r.Deadline, r.Note, r.Attributes = l.logs, l.deadline, l.note, l.attributes
	l.noted = false
	status := l.status
	if status == workflow.StatusRunning && l.suspended {
		status = workflow.StatusSuspended
	}
	if status == r.Status {
		return changed
	}
	r.Status = status
	r.Closed, r.Keep, r.Output, r.Failure = time.Time{}, time.Time{}, workflow.Payload{}, nil
	if !status.Open() {
		last := &x.events[len(x.events)-1]
		r.Closed, r.Output, r.Failure = last.Time, last.Payload, last.Failure
		r.Keep = last.Time.Add(x.keepFor())
	}
	return true
}

// keepFor is how long the closed execution is kept.
func (x *run) keepFor() time.Duration {
	if x.l.start != nil && x.l.start.Definition.Retention > 0 {
		return x.l.start.Definition.Retention
	}
	return x.e.retention
}
