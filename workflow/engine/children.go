package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// wanted is a child execution as its parent's step asks for it. It is a function of the log, so that it
// is the same after a restart.
type wanted struct {
	parent  *run
	step    *step
	attempt int
	ref     workflow.ExecutionRef // without a run
	onClose workflow.OnParentClose
	since   time.Time // an execution with the ID that started before belongs to an earlier attempt
}

func (x *run) wants(s *step) *wanted {
	w := &wanted{parent: x, step: s, attempt: s.attempt, since: s.opened}
	if s.due.After(w.since) {
		w.since = s.due
	}
	w.ref.Namespace = s.cmd.Target.Namespace
	if c := s.cmd.Child; c != nil {
		w.ref.ID, w.onClose = c.ID, c.OnClose
		if c.Definition != nil && c.Definition.Ref.Namespace != "" {
			w.ref.Namespace = c.Definition.Ref.Namespace
		}
		if c.Detached {
			w.onClose = workflow.ChildStays
		}
	}
	if w.ref.ID == "" {
		key := x.key(s.cmd.Step)
		if s.attempt > 1 {
			key += "~" + strconv.Itoa(s.attempt)
		}
		sum := sha256.Sum256([]byte(key))
		base := x.ref.ID
		if len(base) > 200 {
			base = strings.ToValidUTF8(base[:200], "")
		}
		w.ref.ID = base + "." + hex.EncodeToString(sum[:8])
	}
	w.ref = w.ref.WithDefaults()
	return w
}

// startChild starts the child that a step asks for, or finds it if it was started before.
func (x *run) startChild(s *step) {
	s.live.child = x.wants(s)
	x.e.spawn(s.live.child.start)
}

// delays between attempts to start a child while the store does not take it.
const (
	childDelay    = 50 * time.Millisecond
	maxChildDelay = 5 * time.Second
)

func (w *wanted) start() {
	e, x := w.parent.e, w.parent
	for delay := childDelay; ; delay = min(2*delay, maxChildDelay) {
		err := w.try()
		if err == nil {
			break
		}
		if e.ctx.Err() != nil {
			return
		}
		if !errors.Is(err, faas.ErrExhausted) && !errors.Is(err, faas.ErrUnavailable) {
			x.post(fact{kind: factChild, step: w.step.cmd.Step, attempt: w.attempt, outcome: outcome{failure: failureOf(err)}})
			return
		}
		if !e.pause(delay) {
			return
		}
	}
	x.turn.Lock()
	s := x.l.open[w.step.cmd.Step]
	left := s == nil && x.e.state.Load() != phaseClosed
	over := x.closed()
	x.turn.Unlock()
	if left {
		w.leave(over)
	}
}

// pause waits, and reports whether the engine is still there.
func (e *Engine) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// try starts the child once.
func (w *wanted) try() error {
	e, x, c := w.parent.e, w.parent, &w.step.cmd
	o := origin{input: c.Payload, parent: &workflow.Parent{Execution: x.ref, Step: c.Step, OnClose: w.onClose}}
	var inline *workflow.Definition
	if c.Child != nil {
		inline, o.attributes = c.Child.Definition, c.Child.Attributes
		if inline != nil && inline.Ref.Namespace == "" {
			d := *inline
			d.Ref.Namespace = w.ref.Namespace
			inline = &d
		}
	}
	if err := w.ref.Validate(); err != nil {
		return err
	}
	ref := w.ref
	switch latest, err := e.stored(e.ctx, "start child", ref); {
	case err == nil && w.owns(&latest) && latest.Status.Open():
		w.started(latest.Ref)
		return nil // it tells when it ends
	case err == nil && w.owns(&latest) && !latest.Started.Before(w.since):
		w.started(latest.Ref)
		e.childEnded(x, c.Step, &latest)
		return nil
	case err == nil && latest.Status.Open():
		return faas.Errorf(component, "start child", latest.Ref.String(), faas.ErrAlreadyExists, "an execution with this ID is open")
	case err == nil:
		ref.Run = latest.Ref.Run + 1
	case errors.Is(err, faas.ErrNotFound):
		ref.Run = 1
	default:
		return err
	}
	if err := e.resolve(e.ctx, &o, c.Target, inline); err != nil {
		return err
	}
	failpoint.Hit("engine/before-child")
	other, err := e.launch(e.ctx, ref, &o)
	if other != nil || errors.Is(err, faas.ErrConflict) {
		return faas.Errorf(component, "start child", ref.String(), faas.ErrUnavailable, "another execution with this ID is being started")
	}
	if err != nil {
		return err
	}
	failpoint.Hit("engine/after-child")
	w.started(ref)
	return nil
}

// owns reports whether the execution is the child of this step.
func (w *wanted) owns(c *workflow.Execution) bool {
	return c.Parent != nil && c.Parent.Execution == w.parent.ref && c.Parent.Step == w.step.cmd.Step
}

// started ends the step of a detached child.
func (w *wanted) started(child workflow.ExecutionRef) {
	c := w.step.cmd.Child
	if c == nil || !c.Detached {
		return
	}
	w.parent.post(fact{kind: factChild, step: w.step.cmd.Step, attempt: w.attempt, outcome: outcome{payload: idOf(child)}})
}

// idOf is the output of a step that starts a detached child.
func idOf(child workflow.ExecutionRef) workflow.Payload {
	id, err := workflow.MarshalPayload(child.ID)
	if err != nil {
		panic(err) // a string always marshals
	}
	return id
}

// tellParent brings the outcome of an execution that has closed to the step that waits for it.
func (x *run) tellParent() {
	p := x.final.Parent
	if p == nil {
		return
	}
	if parent := x.e.runs.get(p.Execution); parent != nil {
		x.e.spawn(func() { x.e.childEnded(parent, p.Step, &x.final) })
	}
}

// childEnded brings a closed child's outcome to its parent.
func (e *Engine) childEnded(parent *run, step string, child *workflow.Execution) {
	failpoint.Hit("engine/before-child-end")
	f := fact{kind: factChild, step: step, child: child.Ref, began: child.Started, run: child.Closed.Sub(child.Started)}
	for delay := childDelay; ; delay = min(2*delay, maxChildDelay) {
		var err error
		if f.outcome, err = e.childOutcome(child); err == nil {
			break
		}
		if errors.Is(err, faas.ErrCorrupt) || errors.Is(err, faas.ErrNotFound) {
			f.outcome = outcome{failure: &workflow.Failure{Name: workflow.FailurePlatform, Cause: "the child's output cannot be read: " + err.Error()}}
			break
		}
		if !e.pause(delay) {
			return
		}
	}
	parent.post(f)
}

// childOutcome is how a closed child ended, with its payloads in hand.
func (e *Engine) childOutcome(child *workflow.Execution) (outcome, error) {
	if child.Status == workflow.StatusSucceeded {
		p, err := inHand(e.ctx, child.Output)
		return outcome{payload: p}, err
	}
	f := workflow.Failure{Name: workflow.FailurePlatform, Cause: "the child " + string(child.Status)}
	if child.Failure != nil {
		f = *child.Failure
	}
	switch child.Status {
	case workflow.StatusCanceled:
		f.Name = workflow.FailureCanceled
	case workflow.StatusTerminated:
		f.Name = workflow.FailureTerminated
	case workflow.StatusTimedOut:
		f.Name = workflow.FailureTimeout
	}
	details, err := inHand(e.ctx, f.Details)
	f.Details = details
	return outcome{failure: &f}, err
}

// child ends the step of a child that could not be started, was started detached, or has ended.
func (x *run) child(f *fact) {
	s := x.l.open[f.step]
	if s == nil || s.cmd.Kind != workflow.CommandChild {
		return
	}
	if f.child.ID == "" {
		if f.attempt != s.attempt {
			return
		}
	} else if w := x.wants(s); f.child.ID != w.ref.ID || f.began.Before(w.since) {
		return // of an earlier attempt
	} else if c := s.cmd.Child; c != nil && c.Detached {
		f.outcome = outcome{payload: idOf(f.child)} // it ended before it was known to have started
	}
	s.live.child = nil
	f.attempt, f.call = s.attempt, nil
	x.outcome(f)
}

// leaveChild says what becomes of the child of a step that is not wanted any more.
func (x *run) leaveChild(s *step) {
	w, over := s.live.child, x.closed()
	s.live.child = nil
	x.e.spawn(func() { w.leave(over) })
}

// leave cancels the child; or, if its parent has closed, does what Parent.OnClose says.
func (w *wanted) leave(over bool) {
	action := workflow.ActionCancel
	if over {
		switch w.onClose {
		case workflow.ChildStays:
			return
		case workflow.ChildTerminates:
			action = workflow.ActionTerminate
		}
	}
	if c := w.parent.e.runs.get(w.ref); c != nil && w.owns(&c.record) {
		c.leaveBy(action, w.parent.ref)
	}
}

func (x *run) leaveBy(action workflow.Action, parent workflow.ExecutionRef) {
	x.post(fact{kind: factControl, action: action, name: "its parent " + parent.String() + " does not want it any more"})
}

// orphan ends a recovered child whose parent ended, or gave up its step, before the child was told.
func (x *run) orphan() {
	p := x.record.Parent
	if p == nil || p.OnClose == workflow.ChildStays {
		return
	}
	e := x.e
	e.spawn(func() {
		action := workflow.ActionCancel
		parent := e.runs.get(p.Execution)
		if parent != nil {
			parent.turn.Lock()
			wanted := parent.l.open[p.Step] != nil || parent.parked != nil
			parent.turn.Unlock()
			if wanted {
				return
			}
		} else if r, err := e.stored(context.WithoutCancel(e.ctx), "recover", p.Execution); err == nil && r.Status.Open() {
			return
		} else if err != nil && !errors.Is(err, faas.ErrNotFound) {
			e.log.Warn("a child's parent cannot be read", "execution", x.ref.String(), "error", err)
			return
		} else if p.OnClose == workflow.ChildTerminates {
			action = workflow.ActionTerminate
		}
		x.leaveBy(action, p.Execution)
	})
}
