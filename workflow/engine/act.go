package engine

import (
	"context"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// live is what the process does about an open step.
type live struct {
	call  *call  // waits at the scheduler, or runs
	due   *alarm // of a timer, a retry, a wait
	limit *alarm // of the step's deadline
	task  *task  // an activity at the workers, or a callback
	// held: the execution is suspended, the attempt is not to be started.
	held    bool
	child   *wanted          // the child that was asked for
	details workflow.Payload // of the last heartbeat of an earlier attempt
	named   string
}

// target is the text of the step's target, made once.
func (v *live) target(s *step) string {
	if v.named == "" {
		v.named = s.cmd.Target.String()
		if c := s.cmd.Child; c != nil && c.Definition != nil {
			v.named = c.Definition.Ref.String()
		}
	}
	return v.named
}

// named is the text of a name, made once for steps in a row that have the same target.
type named struct {
	ref  faas.Ref
	text string
}

func (n *named) of(ref faas.Ref) string {
	if n.text == "" || n.ref != ref {
		n.ref, n.text = ref, ref.String()
	}
	return n.text
}

// act does what follows from the events that are durable now. It may return a call for the caller
// to make.
func (x *run) act() (mine *call) {
	l := x.l
	for _, s := range l.fx.closed {
		x.drop(s)
	}
	for _, s := range l.fx.opened {
		if !s.ended {
			x.limit(s)
			x.begin(s)
		}
	}
	for _, s := range x.again {
		if !s.ended {
			x.begin(s)
		}
	}
	if !l.deadline.Equal(x.deadline.due) && !x.closed() {
		x.e.timers.unset(&x.deadline)
		x.deadline.run, x.deadline.kind, x.deadline.due = x, factDeadline, l.deadline
		if !l.deadline.IsZero() {
			x.e.timers.set(&x.deadline)
		}
	}
	x.send()
	if len(x.replies) > 0 {
		failpoint.Hit("engine/before-ack")
	}
	for _, r := range x.replies {
		r.to <- r.err
	}
	var over *run
	if x.closed() {
		over = x
	}
	if len(x.ended) > 0 || len(x.ready) > 0 || over != nil {
		failpoint.Hit("engine/before-schedule")
		mine = x.e.sched.change(x.ended, x.ready, over, true)
	}
	x.giveBack()
	l.fx.reset()
	if over != nil {
		x.finish()
	}
	return mine
}

// limit starts the clock of the step's deadline.
func (x *run) limit(s *step) {
	if o := s.cmd.Options; o != nil && o.Deadline > 0 {
		s.live.limit = &alarm{due: s.opened.Add(o.Deadline), run: x, kind: factLimit, step: s.cmd.Step}
		x.e.timers.set(s.live.limit)
	}
}

// begin does what an open step asks for.
func (x *run) begin(s *step) {
	switch s.cmd.Kind {
	case workflow.CommandTimer:
		x.wake(s, s.cmd.Due)
		return
	case workflow.CommandWait:
		if !s.cmd.Due.IsZero() {
			x.wake(s, s.cmd.Due)
		}
		return
	case workflow.CommandRecord:
		return
	}
	if s.due.After(x.now) {
		x.wake(s, s.due)
		return
	}
	if s.live.held = x.l.suspended; s.live.held {
		return
	}
	switch s.cmd.Kind {
	case workflow.CommandCall:
		x.call(s)
	case workflow.CommandActivity:
		x.enqueue(s)
	case workflow.CommandChild:
		x.startChild(s)
	}
}

// wake sets the step's alarm.
func (x *run) wake(s *step, due time.Time) {
	if s.live.due == nil {
		s.live.due = &alarm{run: x, kind: factDue, step: s.cmd.Step}
	}
	x.e.timers.unset(s.live.due)
	s.live.due.due, s.live.due.attempt = due, s.attempt
	x.e.timers.set(s.live.due)
}

// call hands an attempt of a call to the scheduler.
func (x *run) call(s *step) {
	if s.live.call != nil {
		return
	}
	s.live.named = x.target.of(s.cmd.Target)
	c := &call{run: x, step: s, attempt: s.attempt, key: x.key(s.cmd.Step), input: s.cmd.Payload, deadline: x.deadlineOf(s)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.ready = workflow.ReadyStep{Execution: x.ref, Workflow: x.record.Workflow, Step: s.cmd.Step, Node: s.cmd.Node, Function: s.cmd.Target,
		Attempt: s.attempt, Priority: x.l.start.Definition.Priority, Slots: 1, Deadline: c.deadline, Owner: c}
	if o := s.cmd.Options; o != nil {
		c.ready.Priority += o.Priority
		c.ready.Pool, c.ready.Slots = o.Pool, max(o.Slots, 1)
		if o.Callback {
			x.expectCallback(s, c)
		}
	}
	s.live.call = c
	x.ready = append(x.ready, c)
}

// deadlineOf is when the engine ends the step by itself: its own deadline or the execution's. Zero: never.
func (x *run) deadlineOf(s *step) time.Time {
	d := x.l.deadline
	if o := s.cmd.Options; o != nil && o.Deadline > 0 {
		if own := s.opened.Add(o.Deadline); d.IsZero() || own.Before(d) {
			d = own
		}
	}
	return d
}

// drop ends what the process does about a step that has ended.
func (x *run) drop(s *step) {
	x.dropAttempt(s)
	v := &s.live
	if v.due != nil {
		x.e.timers.unset(v.due)
	}
	if v.limit != nil {
		x.e.timers.unset(v.limit)
	}
	if v.child != nil {
		x.leaveChild(s)
	}
}

// dropAttempt ends the attempt that is under way: its outcome is not wanted any more.
func (x *run) dropAttempt(s *step) {
	v := &s.live
	if c := v.call; c != nil {
		v.call = nil
		c.cancel()
		x.ended = append(x.ended, endedCall{c, workflow.StepRecord{Workflow: x.record.Workflow, Node: s.cmd.Node, Function: s.cmd.Target,
			Attempt: c.attempt, Ended: x.now, Failed: true}})
	}
	if v.task != nil {
		x.e.tasks.drop(v.task)
		v.details, v.task = v.task.details, nil
	}
}

// suspend takes back what was not started yet.
func (x *run) suspend() {
	for s := x.l.first; s != nil; s = s.next {
		if c := s.live.call; c != nil && c.began.Load() == 0 && x.e.sched.withdraw(c) {
			c.cancel()
			s.live.call, s.live.held = nil, true
		}
		if t := s.live.task; t != nil && x.e.tasks.takeBack(t) {
			s.live.task, s.live.held = nil, true
		}
	}
}

// finish ends the run: its log is closed.
func (x *run) finish() {
	failpoint.Hit("engine/before-finish")
	x.e.timers.unset(&x.deadline)
	x.e.timers.unset(&x.reloading)
	x.l.release()
	x.e.runs.remove(x)
	x.mu.Lock()
	x.gone, x.final = true, x.record
	done := x.done
	x.mu.Unlock()
	if done != nil {
		close(done)
	}
	x.tellParent()
}

// abandon ends the run because the engine ends; the execution stays open in the store.
func (x *run) abandon() {
	x.mu.Lock()
	x.gone = true
	x.mu.Unlock()
	x.turn.Lock()
	defer x.turn.Unlock()
	x.over = true
	x.refuseAsked(func() error { return x.closedError("deliver") })
	for s := x.l.first; s != nil; s = s.next {
		if s.live.call != nil {
			s.live.call.cancel()
		}
		if s.live.task != nil {
			x.e.tasks.drop(s.live.task)
		}
	}
	x.l.release()
	x.mu.Lock()
	done := x.done
	x.mu.Unlock()
	if done != nil {
		close(done)
	}
}
