package engine

import (
	"context"
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

var _ workflow.Workers = (*Engine)(nil)

// enqueue offers an attempt of an activity to the workers.
func (x *run) enqueue(s *step) {
	if s.live.task != nil {
		return
	}
	s.live.task = x.newTask(s)
	s.live.task.activity = s.cmd.Name
	x.e.tasks.add(s.live.task)
}

// expectCallback lets the attempt of a call end by its token.
func (x *run) expectCallback(s *step, c *call) {
	s.live.task = x.newTask(s)
	c.token, c.task = s.live.task.token, s.live.task
}

func (x *run) newTask(s *step) *task {
	k := &task{run: x, step: s.cmd.Step, attempt: s.attempt, input: s.cmd.Payload, priority: x.l.start.Definition.Priority, deadline: x.deadlineOf(s), details: s.live.details}
	k.token = workflow.Token{Execution: x.ref, Step: s.cmd.Step, Attempt: s.attempt}.Sign(x.l.start.Secret)
	if o := s.cmd.Options; o != nil {
		k.timeout, k.silence = o.Timeout, o.Heartbeat
		k.priority += o.Priority
	}
	return k
}

// Poll implements workflow.Workers.
func (e *Engine) Poll(ctx context.Context, activity, worker string) (*workflow.Activity, error) {
	if !validName(activity) {
		return nil, faas.Errorf(component, "poll", activity, faas.ErrInvalidArgument, "the name of an activity is 1 to %d bytes of UTF-8", workflow.MaxStepID)
	}
	if err := e.accepts("poll"); err != nil && !errors.Is(err, faas.ErrExhausted) {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, component, "poll", activity)
	}
	k, p := e.tasks.take(activity, worker)
	if p != nil {
		select {
		case k = <-p.given:
		case <-ctx.Done():
			e.tasks.leave(activity, p)
			return nil, faas.ContextError(ctx, component, "poll", activity)
		case <-e.stop:
			e.tasks.leave(activity, p)
			return nil, faas.Errorf(component, "poll", activity, faas.ErrClosed, "the engine was closed")
		}
	}
	failpoint.Hit("engine/after-poll")
	a := &workflow.Activity{Token: k.token, Execution: k.run.ref, Step: k.step, Attempt: k.attempt, Name: activity, Input: k.input, Heartbeat: k.silence, Deadline: k.deadline, Details: k.details}
	if k.timeout > 0 {
		if d := e.now().Add(k.timeout); a.Deadline.IsZero() || d.Before(a.Deadline) {
			a.Deadline = d
		}
	}
	return a, nil
}

// Heartbeat implements workflow.Workers.
func (e *Engine) Heartbeat(ctx context.Context, token string, details workflow.Payload) error {
	const op = "heartbeat"
	if err := e.ready(op); err != nil {
		return err
	}
	tok, err := workflow.ParseToken(token)
	if err != nil {
		return err
	}
	x := e.runs.get(tok.Execution.WithDefaults())
	if x == nil {
		return errOver(op, tok)
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	if err := x.verify(op, tok, token); err != nil {
		return err
	}
	s := x.l.open[tok.Step]
	if s == nil || s.live.task == nil || tok.Attempt != 0 && (tok.Attempt <= s.lost || tok.Attempt > s.attempt) {
		return errOver(op, tok)
	}
	// A worker that an earlier process gave the attempt to is alive: the attempt is his again.
	if tok.Attempt != 0 && tok.Attempt < s.attempt && e.tasks.takeBack(s.live.task) {
		e.tasks.start(s.live.task)
	}
	if !e.tasks.heartbeat(s.live.task, details) {
		return errOver(op, tok)
	}
	return nil
}

func errOver(op string, tok workflow.Token) error {
	err := faas.Errorf(component, op, tok.Execution.Key(tok.Step), faas.ErrNotFound, "the attempt is over")
	err.Next = "stop working on it"
	return err
}

// verify checks the token's signature.
func (x *run) verify(op string, tok workflow.Token, text string) error {
	if x.l.start == nil || x.parked != nil && x.l.open[tok.Step] == nil {
		return faas.Errorf(component, op, tok.Execution.Key(tok.Step), faas.ErrUnavailable, "the execution is parked: %w", x.parked.err)
	}
	if !tok.Verify(text, x.l.start.Secret) {
		return faas.Errorf(component, op, tok.Execution.Key(tok.Step), faas.ErrInvalidArgument, "the token was not signed by this execution")
	}
	return nil
}

// Succeed implements workflow.Workers.
func (e *Engine) Succeed(ctx context.Context, token string, output workflow.Payload) error {
	output, err := inHand(ctx, output)
	if err != nil {
		return err
	}
	if output.Size() > e.limits.Payload {
		return faas.Errorf(component, "succeed", "", faas.ErrInvalidArgument, "the output is %d bytes, more than Limits.Payload, %d", output.Size(), e.limits.Payload)
	}
	return e.endByToken(ctx, "succeed", token, outcome{payload: output})
}

// Fail implements workflow.Workers.
func (e *Engine) Fail(ctx context.Context, token string, failure workflow.Failure) error {
	if failure.Name == "" {
		failure.Name = workflow.FailureFunction
	}
	details, err := inHand(ctx, failure.Details)
	if err != nil {
		return err
	}
	failure.Details = details
	return e.endByToken(ctx, "fail", token, outcome{failure: &failure})
}

func (e *Engine) endByToken(ctx context.Context, op, text string, out outcome) error {
	if err := e.accepts(op); err != nil {
		return err
	}
	tok, err := workflow.ParseToken(text)
	if err != nil {
		return err
	}
	tok.Execution = tok.Execution.WithDefaults()
	err = e.tell(ctx, op, tok.Execution, fact{kind: factToken, step: tok.Step, attempt: tok.Attempt, outcome: out, name: text})
	if errors.Is(err, faas.ErrNotFound) || errors.Is(err, faas.ErrConflict) {
		return e.endedBefore(ctx, op, tok, text, out.failure != nil)
	}
	return err
}

// byToken ends an attempt whose token somebody brought.
func (x *run) byToken(f *fact) error {
	tok, err := workflow.ParseToken(f.name)
	if err != nil {
		return err
	}
	if err := x.verify("deliver", tok, f.name); err != nil {
		return err
	}
	s := x.l.open[f.step]
	if s == nil || s.cmd.Kind > workflow.CommandActivity || s.cmd.Kind == workflow.CommandCall && (s.cmd.Options == nil || !s.cmd.Options.Callback) {
		return errOver("deliver", tok)
	}
	if f.attempt == 0 {
		f.attempt = s.attempt
	}
	if f.attempt <= s.lost || f.attempt > s.attempt || s.due.After(x.now) {
		return errOver("deliver", tok)
	}
	f.began = x.now
	if k := s.live.task; k != nil {
		if _, _, began, _ := x.e.tasks.owner(k); !began.IsZero() {
			f.began = began
		}
	}
	failpoint.Hit("engine/before-token")
	f.call = nil
	x.outcome(f)
	return nil
}

// endedBefore decides about a token that no open step has: nil if its attempt is what ended the step, so that
// an answer may be repeated.
func (e *Engine) endedBefore(ctx context.Context, op string, tok workflow.Token, text string, fails bool) error {
	store, x, err := e.find(ctx, op, tok.Execution)
	if err != nil {
		return err
	}
	log, err := readLog(ctx, store, x.Ref)
	if err != nil {
		return err
	}
	signed, ended := false, false
	for i := range log {
		switch ev := &log[i]; {
		case ev.Start != nil:
			signed, ended = tok.Verify(text, ev.Start.Secret), false
		case !signed || ev.Step != tok.Step || ev.Step == "":
		case ev.Kind == workflow.StepSucceeded || ev.Kind == workflow.StepFailed, ev.Kind == workflow.StepRetrying && fails:
			ended = tok.Attempt == 0 || ev.Attempt == tok.Attempt
		}
		if signed && ended {
			return nil
		}
	}
	if !signed {
		return faas.Errorf(component, op, tok.Execution.Key(tok.Step), faas.ErrInvalidArgument, "the token was not signed by this execution")
	}
	return errOver(op, tok)
}

// silent fails an attempt whose time is over, or that gave no sign of life.
func (x *run) silent(f *fact) {
	s := x.l.open[f.step]
	if s == nil || s.attempt != f.attempt || s.live.task == nil {
		return
	}
	cause := "the attempt was not done in time"
	if f.name == workflow.FailureHeartbeat {
		if x.e.tasks.alive(s.live.task) {
			return
		}
		cause = "no heartbeat came in time"
	}
	_, worker, began, _ := x.e.tasks.owner(s.live.task)
	if worker != "" {
		cause += " from worker " + worker
	}
	x.outcome(&fact{kind: factOutcome, step: f.step, attempt: f.attempt, began: began, run: time.Since(began), outcome: outcome{failure: &workflow.Failure{Name: f.name, Cause: cause}}})
}

// answered frees the slot of a callback step: its function has answered, its token is outside.
func (x *run) answered(f *fact) {
	s := x.l.open[f.step]
	if s == nil || s.live.call != f.call {
		return
	}
	s.live.call = nil
	x.ended = append(x.ended, endedCall{f.call, workflow.StepRecord{Workflow: x.record.Workflow, Node: s.cmd.Node, Function: s.cmd.Target,
		Attempt: f.attempt, Ended: x.now, Run: f.run, Cold: f.cold}})
}
