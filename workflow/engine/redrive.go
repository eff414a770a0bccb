package engine

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// redrive reopens an execution that has closed without success. What is undone: its last event, every
// failure (those that led to the end, where a workflow.Redriver knows them) and every request to cancel, in the present log; and
// the outcomes of steps that, without those, the definition would not have opened by then. Everything that succeeded
// and is still asked for stays.
func (e *Engine) redrive(ctx context.Context, ref workflow.ExecutionRef, reason string) error {
	const op = "redrive"
	store, record, err := e.find(ctx, op, ref)
	if err != nil {
		return err
	}
	ref = record.Ref
	conflict := func(format string, args ...any) error {
		return faas.Errorf(component, op, ref.String(), faas.ErrConflict, format, args...)
	}
	if record.Status.Open() || record.Status == workflow.StatusSucceeded {
		return conflict("the execution is %s", record.Status)
	}
	if latest, err := e.stored(ctx, op, workflow.ExecutionRef{Namespace: ref.Namespace, ID: ref.ID}); err != nil {
		return err
	} else if latest.Ref.Run != ref.Run {
		return conflict("run %d of the ID is later", latest.Ref.Run)
	}
	log, err := readLog(ctx, store, ref)
	if err != nil {
		return err
	}
	program, err := e.languages.Compile(&log[0].Start.Definition)
	if err != nil {
		return err
	}
	x := e.newRun(ref, store, program)
	again, err := redriven(ref, program, log, x.source)
	if err != nil {
		return err
	}
	x.record, x.durable, x.busy = record, log[len(log)-1].Seq, true
	if other := e.runs.add(x); other != nil {
		return conflict("the execution is open")
	}
	undone, err := x.l.refold(log, x.source, again)
	if err == nil && x.l.end != nil && x.l.end.Kind != workflow.CommandSucceed {
		err = conflict("it would end the same way: no failure of a step led to it")
	}
	if err != nil {
		x.stillborn()
		return err
	}
	failpoint.Hit("engine/before-redrive")
	mine := x.firstTurn(func() {
		x.l.resend()
		x.note(workflow.Event{Kind: workflow.ExecutionRedriven, Name: reason, Undone: undone})
		if x.parked == nil {
			x.save() // an earlier snapshot includes what is undone
			x.openAll()
		}
	})
	if x.born != nil {
		x.stillborn()
		return x.born
	}
	x.goOn(mine)
	return nil
}

// redriven returns whether a failed step is to be tried again.
func redriven(ref workflow.ExecutionRef, program workflow.Program, log []workflow.Event, source workflow.PayloadSource) (again func(step string) bool, err error) {
	if r, ok := program.(workflow.Redriver); ok {
		l := newLedger(ref, program)
		defer l.release()
		if err := l.foldLog(log, source); err == nil && l.state != nil {
			return r.Redrive(l.state)
		}
	}
	return func(string) bool { return true }, nil
}

// refold folds a closed log without what a redrive undoes, and returns that.
func (l *ledger) refold(log []workflow.Event, source workflow.PayloadSource, again func(step string) bool) (undone []uint64, err error) {
	l.undo(log)
	if l.undone == nil {
		l.undone = make(map[uint64]struct{})
	}
	rest, err := l.beginning(log, source)
	if err != nil {
		return nil, err
	}
	undo := func(e *workflow.Event) {
		if _, ok := l.undone[e.Seq]; !ok {
			l.undone[e.Seq] = struct{}{}
			undone = append(undone, e.Seq)
		}
	}
	// Failures in logs before the present one are past.
	present := 0
	for i := range rest {
		if rest[i].Kind == workflow.ExecutionContinued && !isRoll(&rest[i]) {
			present = i
		}
	}
	for i := range rest {
		e := &rest[i]
		if i >= present {
			switch e.Kind {
			case workflow.StepSucceeded:
				if !l.expects(e) {
					undo(e)
				}
			case workflow.StepFailed:
				if again(e.Step) || !l.expects(e) {
					undo(e)
				}
			case workflow.StepRetrying, workflow.CancelRequested:
				undo(e)
			default:
				if e.Kind.Closes() || l.end != nil && e.Kind != workflow.ExecutionContinued {
					undo(e)
				}
			}
		}
		if err := l.apply(e); err != nil {
			return nil, err
		}
	}
	return undone, nil
}

// firstTurn takes the first turn of a run that was folded from a log: f notes what happened. The caller
// has set busy.
func (x *run) firstTurn(f func()) (mine *call) {
	x.turn.Lock()
	defer x.turn.Unlock()
	x.borrow()
	x.now = x.e.now()
	if x.now.Before(x.l.time) {
		x.now = x.l.time
	}
	x.marks.last = x.durable
	created := x.durable
	f()
	x.l.rematch()
	x.settle()
	if err := x.append(); err != nil {
		x.durable = 0 // so that the run is given up
		x.appendFailed(err)
		x.durable = created
		return nil
	}
	return x.act()
}

// openAll has everything that is open begun.
func (x *run) openAll() {
	l := x.l
	clear(l.fx.closed)
	l.fx.opened, l.fx.closed = l.fx.opened[:0], l.fx.closed[:0]
	for s := l.first; s != nil; s = s.next {
		l.fx.opened = append(l.fx.opened, s)
	}
}

// goOn takes the turns that came up meanwhile.
func (x *run) goOn(mine *call) {
	for _, c := range []*call{mine, x.drain()} {
		if c != nil {
			x.e.sched.start(c)
		}
	}
}

// reload tries a parked execution again: it folds the log as the store has it.
func (x *run) reload() error {
	log, err := readLog(x.e.ctx, x.store, x.ref)
	if err != nil {
		return err
	}
	program, err := x.e.languages.Compile(&log[0].Start.Definition)
	if err != nil {
		return err
	}
	l := newLedger(x.ref, program)
	if err := l.foldLog(log, x.source); err != nil {
		return err
	}
	// Events of this turn that are not stored yet, and what the process does about open steps, go along.
	if err := l.foldAll(x.events); err != nil {
		return err
	}
	old := x.l
	for sender, ordinal := range old.heard { // of a log whose beginning was dropped, the new ledger knows less
		if l.heard == nil {
			l.heard = make(map[string]uint64)
		}
		l.heard[sender] = max(l.heard[sender], ordinal)
	}
	l.fx.reset()
	l.resend()
	for s := old.first; s != nil; s = s.next {
		if now := l.open[s.cmd.Step]; now != nil && now.attempt == s.attempt {
			now.live = s.live
			if c := now.live.call; c != nil && c.began.Load() == 0 && x.e.sched.withdraw(c) {
				c.cancel()
				now.live.call = nil
			}
		} else {
			l.fx.closed = append(l.fx.closed, s)
		}
	}
	x.program, x.l, x.parked = program, l, nil
	if x.unopened {
		x.reopen()
		return nil
	}
	l.rematch()
	for s := l.first; s != nil; s = s.next {
		if v := &s.live; v.call == nil && v.due == nil && v.task == nil && v.child == nil && !v.held {
			l.fx.opened = append(l.fx.opened, s)
		}
	}
	return nil
}
