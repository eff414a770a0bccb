package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// Recover starts the engine: it takes up every open execution that the stores have and goes on with it.
// It is called once, before anything else, and returns when all of them are taken up: steps that were under
// way are delivered again, timers that fell due have rung. An execution that cannot go on (its log is
// corrupt, its code is missing) does not keep the others from it; Explain says why. Errors: ErrConflict
// (called before), ErrClosed, ErrCanceled and ErrTimeout, those of the stores.
func (e *Engine) Recover(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.state.CompareAndSwap(phaseNew, phaseRecovering) {
		if err := e.ready("recover"); err != nil {
			return err
		}
		return faas.Errorf(component, "recover", "", faas.ErrConflict, "the engine has recovered already")
	}
	runs, err := e.loadAll(ctx)
	if err != nil {
		e.runs.each(func(x *run) { x.abandon() })
		e.runs.init()
		e.state.Store(phaseNew)
		return err
	}
	e.sched.observe(ctx)
	e.spawn(e.timers.loop)
	e.spawn(e.sweep)
	e.state.Store(phaseRunning)
	parallel(runs, func(x *run) {
		failpoint.Hit("engine/before-reopen")
		x.post(fact{kind: factReopen})
		failpoint.Hit("engine/after-reopen")
	})
	return nil
}

// recoverers is how many executions are folded or reopened at once, so that they share the way to the disk.
const recoverers = 64

// parallel calls f with every run.
func parallel(runs []*run, f func(*run)) {
	feed := make(chan *run)
	var wg sync.WaitGroup
	for range min(recoverers, len(runs)) {
		wg.Go(func() {
			for x := range feed {
				f(x)
			}
		})
	}
	for _, x := range runs {
		feed <- x
	}
	close(feed)
	wg.Wait()
}

// loadAll folds every open execution, more at once than there are processors, since code is waited for.
// All of them are in the table before the first goes on, since a child's end must find its parent.
func (e *Engine) loadAll(ctx context.Context) ([]*run, error) {
	type stored struct {
		store workflow.Store
		r     *workflow.Recovered
		err   error
	}
	feed := make(chan stored, recoverers)
	var folding sync.WaitGroup
	var mu sync.Mutex
	var runs []*run
	for range recoverers {
		folding.Go(func() {
			for s := range feed {
				x := e.recoverRun(s.store, s.r, s.err)
				if e.runs.add(x) != nil {
					e.log.Error("two open executions have one ID", "execution", x.ref.String())
					continue
				}
				mu.Lock()
				runs = append(runs, x)
				mu.Unlock()
			}
		})
	}
	read := func() error {
		for _, store := range e.stores {
			for r, err := range store.Recover(ctx) {
				if r == nil || err != nil && !errors.Is(err, faas.ErrCorrupt) {
					return err
				}
				if ctx.Err() != nil {
					return faas.ContextError(ctx, component, "recover", "")
				}
				failpoint.Hit("engine/before-load")
				feed <- stored{store, r, err}
			}
		}
		return nil
	}
	err := read()
	close(feed)
	folding.Wait()
	return runs, err
}

// recoverRun folds what the store has of an open execution.
func (e *Engine) recoverRun(store workflow.Store, r *workflow.Recovered, err error) *run {
	ref := r.Record.Ref.WithDefaults()
	x := e.newRun(ref, store, nil)
	x.record, x.durable, x.unopened = r.Record, r.Last, true
	x.record.Ref = ref
	if err == nil && r.First.Start == nil {
		err = faas.Errorf(component, "recover", ref.String(), faas.ErrCorrupt, "the log does not begin with a start")
	}
	if err == nil {
		x.l.start, x.l.began, x.l.logs = r.First.Start, r.First.Time, 1
		x.program, err = e.languages.Compile(&r.First.Start.Definition)
	} else {
		x.sealed = true
	}
	if err == nil {
		x.l.program = x.program
		x.l.undo(r.Events)
		if r.Snapshot != nil {
			err = x.l.decode(r.Snapshot, r.SnapshotAt, x.source)
			x.marks.last, x.marks.weight = r.SnapshotAt, len(r.Snapshot)
			x.marks.start = r.SnapshotAt // at the latest; a restart may delay the next continuation
		}
		if err == nil {
			err = x.l.foldAll(r.Events)
		}
		e.sched.observeAll(x.record.Workflow, r.Events)
	}
	x.l.seq = r.Last
	x.l.status = workflow.StatusRunning
	if n := len(r.Events); n > 0 && x.l.time.Before(r.Events[n-1].Time) {
		x.l.time = r.Events[n-1].Time
	}
	if err != nil {
		x.l.fx.reset() // what a log seems to ask for that the Program does not fit is not begun
		x.park(err)
	}
	return x
}

// reopen goes on with an execution as its log left it.
func (x *run) reopen() {
	l := x.l
	if x.parked != nil {
		l.fx.reset() // of a fold that went wrong
		return
	}
	x.unopened = false
	l.resend()
	under := false
	for s := l.first; s != nil && !under; s = s.next {
		under = s.cmd.Kind <= workflow.CommandActivity && !s.due.After(x.now)
	}
	if under {
		x.note(workflow.Event{Kind: workflow.ExecutionRecovered})
	}
	if !l.deadline.IsZero() && !l.deadline.After(x.now) && x.parked == nil && l.end == nil {
		x.expire()
	}
	if x.parked != nil {
		l.fx.reset()
		return
	}
	l.rematch()
	x.openAll()
	x.orphan()
}

// rematch looks for waits and recorded values whose outcome follows from the log but is not in it, as in a copy
// of a part of a log.
func (l *ledger) rematch() {
	l.records, l.matches = l.records[:0], l.matches[:0]
	for s := l.first; s != nil; s = s.next {
		switch {
		case s.cmd.Kind == workflow.CommandRecord:
			l.records = append(l.records, s)
		case s.cmd.Kind == workflow.CommandWait && len(l.signals[s.cmd.Name]) > 0:
			l.matches = append(l.matches, s.cmd.Name)
		}
	}
}
