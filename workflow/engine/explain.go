package engine

import (
	"context"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var (
	_ workflow.Explainer = (*Engine)(nil)
	_ workflow.Queries   = (*Engine)(nil)
)

// Explain implements workflow.Explainer.
func (e *Engine) Explain(ctx context.Context, ref workflow.ExecutionRef) (workflow.Explanation, error) {
	if err := e.ready("explain"); err != nil {
		return workflow.Explanation{}, err
	}
	ref = ref.WithDefaults()
	x := e.runs.get(ref)
	if x == nil {
		record, err := e.stored(ctx, "explain", ref)
		return workflow.Explanation{Execution: record}, err
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	explained := workflow.Explanation{Execution: x.record, Blocked: x.blocked()}
	for s := x.l.first; s != nil; s = s.next {
		explained.Steps = append(explained.Steps, x.explain(s))
	}
	return explained, nil
}

// blocked says why nothing of the execution can go on.
func (x *run) blocked() string {
	switch {
	case x.e.Health() != nil:
		return "the store failed: " + x.e.Health().Error()
	case x.sealed:
		return "its log cannot be used: " + x.parked.err.Error()
	case x.parked != nil && x.program == nil:
		return "its code is not in this process: " + x.parked.err.Error()
	case x.parked != nil:
		return "its definition does not accept its history: " + x.parked.err.Error()
	case x.stuck > 0:
		return "its results wait for space in the store"
	case x.l.suspended:
		return "it is suspended"
	}
	return ""
}

// explain says what an open step waits for.
func (x *run) explain(s *step) workflow.OpenStep {
	o := workflow.OpenStep{Step: s.cmd.Step, Node: s.cmd.Node, Kind: s.cmd.Kind, Target: target(s), Attempt: s.attempt, Opened: s.opened, Last: s.failure, Deadline: x.deadlineOf(s)}
	sooner := func(t time.Time) {
		if !t.IsZero() && (o.Deadline.IsZero() || t.Before(o.Deadline)) {
			o.Deadline = t
		}
	}
	now := x.e.now()
	switch {
	case s.cmd.Kind == workflow.CommandTimer:
		o.Owner, o.Why = "timer", "it rings at "+s.cmd.Due.UTC().Format(time.RFC3339)
		sooner(s.cmd.Due)
	case s.cmd.Kind == workflow.CommandWait:
		o.Owner, o.Why = "signal "+s.cmd.Name, "no such signal has come"
		sooner(s.cmd.Due)
	case s.live.held:
		o.Owner, o.Why = "operator", "the execution is suspended"
	case s.due.After(now):
		o.Owner, o.Why = "timer", "the next attempt is due at "+s.due.UTC().Format(time.RFC3339)
		sooner(s.due)
	case s.cmd.Kind == workflow.CommandChild:
		w := x.wants(s)
		o.Owner, o.Why = "child "+w.ref.String(), "the child has not ended"
		if c := x.e.runs.get(w.ref); c != nil {
			o.Owner, o.Began = "child "+c.ref.String(), c.record.Started
		}
	case s.live.call != nil:
		x.explainCall(s, &o, sooner)
	case s.live.task != nil:
		x.explainTask(s, &o, sooner)
	default:
		o.Owner, o.Why = "engine", "the step is about to be started"
	}
	return o
}

func (x *run) explainCall(s *step, o *workflow.OpenStep, sooner func(time.Time)) {
	c := s.live.call
	began := c.began.Load()
	if began == 0 {
		o.Owner, o.Why = "scheduler", x.e.sched.explain(c)
		if o.Why == "" {
			o.Why = "it was decided to run it now"
		}
		return
	}
	o.Began = time.Unix(0, began).UTC()
	o.Owner, o.Why = "function "+target(s), "the function has not answered"
	if opt := s.cmd.Options; opt != nil && opt.Timeout > 0 {
		sooner(o.Began.Add(opt.Timeout))
	}
}

func (x *run) explainTask(s *step, o *workflow.OpenStep, sooner func(time.Time)) {
	k := s.live.task
	state, worker, began, polls := x.e.tasks.owner(k)
	o.Began = began
	switch {
	case k.activity == "":
		o.Owner, o.Why = "token holder", "the function has answered; whoever has the token ends the step"
	case state == taskTaken && worker == "":
		o.Owner, o.Why = "worker", "a worker has the activity"
	case state == taskTaken:
		o.Owner, o.Why = "worker "+worker, "the worker has the activity"
	case polls:
		o.Owner, o.Why = "workers of activity "+k.activity, "all of them are busy"
	default:
		o.Owner, o.Why = "nobody polls activity "+k.activity, "no worker asks for it"
	}
	if state != taskTaken {
		return
	}
	if k.timeout > 0 {
		sooner(began.Add(k.timeout))
	}
	if k.silence > 0 {
		sooner(began.Add(k.silence))
	}
}

// Query implements workflow.Queries. A closed execution is folded once more to answer.
func (e *Engine) Query(ctx context.Context, ref workflow.ExecutionRef, name string, argument workflow.Payload) (workflow.Payload, error) {
	if err := e.ready("query"); err != nil {
		return workflow.Payload{}, err
	}
	ref = ref.WithDefaults()
	if x := e.runs.get(ref); x != nil {
		x.turn.Lock()
		defer x.turn.Unlock()
		if x.parked != nil {
			return workflow.Payload{}, faas.Errorf(component, "query", ref.String(), faas.ErrUnavailable, "the execution is parked: %w", x.parked.err)
		}
		if x.over {
			return workflow.Payload{}, x.closedError("query")
		}
		if !x.closed() {
			return x.l.query(name, argument)
		}
	}
	store, record, err := e.find(ctx, "query", ref)
	if err != nil {
		return workflow.Payload{}, err
	}
	log, err := readLog(ctx, store, record.Ref)
	if err != nil {
		return workflow.Payload{}, err
	}
	program, err := e.languages.Compile(&log[0].Start.Definition)
	if err != nil {
		return workflow.Payload{}, err
	}
	l := newLedger(record.Ref, program)
	defer l.release()
	if err := l.foldLog(log, &source{store: store, ref: record.Ref}); err != nil {
		return workflow.Payload{}, err
	}
	return l.query(name, argument)
}

// query asks the Program; a panic of it is an error.
func (l *ledger) query(name string, argument workflow.Payload) (p workflow.Payload, err error) {
	q, ok := l.program.(workflow.Querier)
	if !ok {
		return p, faas.Errorf(component, "query", l.ref.String(), faas.ErrUnimplemented, "the definition's language answers no queries")
	}
	defer func() {
		if r := recover(); r != nil {
			err = faas.Errorf(component, "query", l.ref.String(), faas.ErrInternal, "the program panicked: %v", r)
		}
	}()
	return q.Query(l.state, name, argument)
}
