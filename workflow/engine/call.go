package engine

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// call is one attempt of a step that invokes a function.
type call struct {
	run     *run
	step    *step
	attempt int
	key     string
	token   string // of a callback step
	task    *task  // of a callback step
	input   workflow.Payload
	// deadline is that of the step or the execution, whichever is first. Zero: none.
	deadline time.Time

	ready   workflow.ReadyStep // the scheduler's view of it
	decided bool               // guarded by the schedule's lock
	ctx     context.Context
	cancel  context.CancelFunc
	began   atomic.Int64 // Unix nanoseconds; 0: waits

	// What the function gets, here to be allocated with the call.
	req    faas.Request
	timing faas.Timing
	values [4]string // of the header
}

// main runs the call, and then whatever call its outcome leads to, in one goroutine.
func (c *call) main() {
	e := c.run.e
	defer e.work.end()
	for c != nil {
		c = c.invoke()
	}
}

// invoke calls the function and brings the outcome home. It returns a call to make next, if there is one.
func (c *call) invoke() (next *call) {
	e, x, options := c.run.e, c.run, c.step.cmd.Options
	if c.ctx.Err() != nil {
		return nil
	}
	began := time.Now()
	wall := e.now()
	c.began.Store(wall.UnixNano())
	e.calls.Add(1)
	ctx, cancel := c.ctx, context.CancelFunc(nil)
	if d := c.limit(wall); d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	if c.task != nil {
		e.tasks.start(c.task)
	}
	failpoint.Hit("engine/before-call")
	out := c.do(ctx, options)
	failpoint.Hit("engine/after-call")
	if ctx.Err() == context.DeadlineExceeded && c.ctx.Err() == nil && out.failure != nil {
		out.failure = &workflow.Failure{Name: workflow.FailureTimeout, Cause: "the attempt was not done in time: " + out.failure.Cause}
	}
	if cancel != nil {
		cancel()
	}
	gone := c.ctx.Err() != nil
	c.cancel()
	run := time.Since(began)
	if c.task != nil && out.failure == nil {
		next = x.deliver(fact{kind: factAnswered, step: c.step.cmd.Step, attempt: c.attempt, call: c, run: run, cold: coldOf(&c.timing)})
	} else if !gone {
		next = x.deliver(fact{kind: factOutcome, step: c.step.cmd.Step, attempt: c.attempt, call: c, outcome: out, began: wall, run: run, cold: coldOf(&c.timing)})
	}
	if e.calls.Add(-1) == 0 && e.state.Load() >= phaseStopping {
		select {
		case e.idle <- struct{}{}:
		default:
		}
	}
	return next
}

// limit is how long the function may take. Zero: any time.
func (c *call) limit(now time.Time) time.Duration {
	var d time.Duration
	if o := c.step.cmd.Options; o != nil {
		d = o.Timeout
	}
	if !c.deadline.IsZero() {
		if left := max(c.deadline.Sub(now), 1); d == 0 || left < d {
			d = left
		}
	}
	return d
}

// do makes the request. A panic of the function or of what leads to it fails the attempt.
func (c *call) do(ctx context.Context, o *workflow.StepOptions) (out outcome) {
	defer func() {
		if p := recover(); p != nil {
			out = outcome{failure: &workflow.Failure{Name: workflow.FailureFunction, Cause: fmt.Sprintf("panic: %v", p)}}
		}
	}()
	body, err := c.input.Bytes(ctx)
	if err != nil {
		return outcome{failure: failureOf(err)}
	}
	c.req = faas.Request{Function: c.step.cmd.Target, ID: c.key, Header: c.header(o), Body: faas.Bytes(body), Timing: &c.timing}
	if o != nil {
		c.req.Method, c.req.Path, c.req.Query = o.Method, o.Path, o.Query
	}
	resp, err := c.run.e.functions.Invoke(ctx, &c.req)
	if err == nil && resp == nil {
		return outcome{failure: &workflow.Failure{Name: workflow.FailurePlatform, Cause: "the invoker returned neither a response nor an error"}}
	}
	return c.run.e.outcomeOf(resp, err)
}

// header returns the request's header: the step's own and the engine's.
func (c *call) header(o *workflow.StepOptions) http.Header {
	n := 3
	if o != nil {
		n += len(o.Header)
	}
	h := make(http.Header, n)
	if o != nil {
		for k, v := range o.Header {
			h[k] = v
		}
	}
	c.values = [...]string{c.key, strconv.Itoa(c.attempt), c.input.MediaType(), c.token}
	h[workflow.HeaderIdempotencyKey], h[workflow.HeaderAttempt] = c.values[0:1:1], c.values[1:2:2]
	if !c.input.IsZero() {
		h["Content-Type"] = c.values[2:3:3]
	}
	if c.task != nil {
		h[workflow.HeaderToken] = c.values[3:4:4]
	}
	return h
}

// coldOf is the part of the time that was a cold start.
func coldOf(t *faas.Timing) time.Duration {
	if !t.Cold() {
		return 0
	}
	return t.Total() - t.Get(faas.PhaseRun) - t.Get(faas.PhaseQueue)
}
