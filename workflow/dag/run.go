package dag

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

// run is one call of Step.
type run struct {
	program  *Program
	state    *state
	now      time.Time
	commands []workflow.Command
	// look are the tasks whose counts have changed; few holds them as long as they are few.
	look []int32
	few  [8]int32
	err  error // of reading a payload: the step is done again later
}

func (r *run) begin() (workflow.State, []workflow.Command, error) {
	for i := range r.program.tasks {
		if r.state.counts[i].total == 0 || r.program.tasks[i].rule == Always {
			r.look = append(r.look, int32(i))
		}
	}
	return r.settle()
}

// settle starts and skips whatever can be, until nothing changes any more.
func (r *run) settle() (workflow.State, []workflow.Command, error) {
	for len(r.look) > 0 && r.err == nil {
		i := r.look[0]
		if r.look = r.look[1:]; r.state.status[i] == none {
			r.consider(i)
		}
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	if s := r.state; s.left == 0 && !s.ended {
		s.ended = true
		r.commands = append(r.commands, r.result())
		if r.err != nil {
			return nil, nil, r.err
		}
	}
	return r.state, r.commands, nil
}

// consider judges a task that has not started.
func (r *run) consider(i int32) {
	t := &r.program.tasks[i]
	c := &r.state.counts[i]
	if r.state.ending != nil && !t.teardown {
		r.set(i, skipped)
		return
	}
	if t.await > 0 {
		r.awaits(i, t, c)
		return
	}
	if t.rule == AllSuccess && c.done < c.total && c.done == c.success {
		return // the common case, in a hurry
	}
	up := c.upstream()
	switch verdict := t.rule.Verdict(up); {
	case verdict != StateNone:
		r.set(i, statusOf(verdict))
	case t.rule.Passes(up):
		r.start(i)
	case c.done >= c.total:
		r.set(i, upstreamFailed) // no rule leaves a task here; it must not wait for ever
	}
}

// awaits judges a task that starts when enough of what it needs has succeeded.
func (r *run) awaits(i int32, t *task, c *counts) {
	switch {
	case c.success >= t.await:
		if t.cancelRest {
			for _, n := range r.program.graph.Needs(i) {
				if !r.state.status[n].final() {
					r.drop(n)
				}
			}
		}
		r.start(i)
	case c.success+c.total-c.done < t.await:
		if c.failed+c.upstreamFailed > 0 {
			r.set(i, upstreamFailed)
		} else {
			r.set(i, skipped)
		}
	}
}

// set makes a task final and tells those after it.
func (r *run) set(i int32, s status) {
	r.state.status[i] = s
	r.state.left--
	if r.state.mapped[i] == nil {
		r.tell(i, s)
	} else {
		r.look = append(r.look, r.program.graph.Next(i)...) // its instances have counted themselves
	}
	if s != failed {
		return
	}
	if r.state.first < 0 {
		r.state.first = i
	}
	if r.program.failFast && r.state.ending == nil && !r.ignored(i) && !r.heard(i) {
		r.end(r.failureOf(i))
	}
}

// tell counts the end of a task, or of one instance of it, for those after it.
func (r *run) tell(i int32, s status) {
	for _, n := range r.program.graph.Next(i) {
		c := &r.state.counts[n]
		c.add(s)
		if c.setups > 0 && slices.Contains(r.program.tasks[n].setups, i) {
			switch s {
			case succeeded:
				c.goodSetups++
			case skipped:
				c.skippedSetups++
			}
		}
		if r.state.status[n] == none {
			r.look = append(r.look, n)
		}
	}
}

// ignored reports whether the failure of a task fails nothing.
func (r *run) ignored(i int32) bool {
	return r.program.tasks[i].teardown && !r.program.tasks[i].critical
}

// heard reports whether a task after i may start though i failed.
func (r *run) heard(i int32) bool {
	for _, n := range r.program.graph.Next(i) {
		t := &r.program.tasks[n]
		if t.await > 0 || !slices.Contains([]Rule{AllSuccess, NoneFailed, NoneFailedMinOneSuccess, AllSkipped}, t.rule) && !t.teardown {
			return true
		}
	}
	return false
}

// end closes what is open and skips what has not started, teardowns aside.
func (r *run) end(why *workflow.Failure) {
	if r.state.ending != nil {
		return
	}
	r.state.ending = why
	for i := range r.program.tasks {
		switch t := &r.program.tasks[i]; {
		case t.teardown:
		case r.state.status[i] == running:
			r.drop(int32(i))
		case r.state.status[i] == none:
			r.set(int32(i), skipped)
		}
	}
}

// drop closes the open steps of a task and skips it.
func (r *run) drop(i int32) {
	t := &r.program.tasks[i]
	if r.state.status[i] == running {
		switch {
		case r.state.mapped[i] != nil:
			r.dropMapped(i)
		case t.kind == kindPoke:
			r.close(r.state.pokes[i].step(t.name))
		default:
			r.close(t.name)
		}
	}
	r.set(i, skipped)
}

func (r *run) close(step string) {
	r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandClose, Step: step})
}

// view is what the templates of a task see.
func (r *run) view() view { return view{program: r.program, state: r.state} }

// check sorts an error of a template: a problem fails the task, any other the call of Step.
func (r *run) check(err error) *workflow.Failure {
	if err == nil {
		return nil
	}
	var p *problem
	if errors.As(err, &p) {
		return &workflow.Failure{Name: workflow.FailureProgram, Cause: p.cause}
	}
	if r.err == nil {
		r.err = faas.Errorf("workflow engine", "step", r.state.execution.String(), faas.Class(err), "%w", err)
	}
	return &workflow.Failure{Name: workflow.FailureProgram, Cause: err.Error()}
}

// start starts a task whose rule allows it.
func (r *run) start(i int32) {
	t := &r.program.tasks[i]
	v := r.view()
	if t.when != nil {
		ok, err := t.when.holds(&v)
		if f := r.check(err); f != nil {
			r.fail(i, f)
			return
		}
		if !ok {
			r.set(i, skipped)
			return
		}
	}
	r.state.status[i] = running
	if t.over != nil {
		r.expand(i)
		return
	}
	input, err := t.input.payload(&v)
	if f := r.check(err); f != nil {
		r.fail(i, f)
		return
	}
	switch t.kind {
	case kindValue:
		r.succeed(i, input)
	case kindChoose:
		r.choose(i)
	case kindWait:
		due := r.now.Add(t.wait)
		if t.until != nil {
			if due, err = untilTime(t.until, &v); err != nil {
				r.fail(i, r.check(err))
				return
			}
		}
		r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandTimer, Step: t.name, Due: due})
	case kindPoke:
		if r.state.pokes == nil {
			r.state.pokes = map[int32]*poke{}
		}
		r.state.pokes[i] = &poke{began: r.now}
		r.ask(i, input)
	default:
		r.commands = append(r.commands, r.open(t, t.name, input))
	}
}

// open is the command that opens a step of the task.
func (r *run) open(t *task, id string, input workflow.Payload) workflow.Command {
	c := workflow.Command{Step: id, Node: t.name, Target: t.target, Payload: input, Options: t.options, Child: t.child, Name: t.event}
	switch t.kind {
	case kindActivity:
		c.Kind = workflow.CommandActivity
	case kindChild, kindGroup:
		c.Kind = workflow.CommandChild
	case kindSignal:
		c.Kind, c.Payload = workflow.CommandWait, workflow.Payload{}
		if t.limit > 0 {
			c.Due = r.now.Add(t.limit)
		}
	default:
		c.Kind = workflow.CommandCall
	}
	return c
}

func untilTime(t *template, v *view) (time.Time, error) {
	b, err := t.json(v)
	if err != nil {
		return time.Time{}, err
	}
	text, err := strconv.Unquote(string(b))
	if err != nil {
		return time.Time{}, fault("wait until %.60s: it is no text", b)
	}
	due, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fault("wait until %.60q: it is no time such as 2026-01-02T15:04:05Z", text)
	}
	return due, nil
}

// outcome takes in how a step ended.
func (r *run) outcome(e *workflow.Event) error {
	id, ok := r.program.parseStep(e.Step)
	if !ok {
		return taskgraph.Conflict(e, "a step of this definition")
	}
	t := &r.program.tasks[id.task]
	m := r.state.mapped[id.task]
	open := r.state.status[id.task] == running && (id.index >= 0) == (m != nil) && (id.poke > 0) == (t.kind == kindPoke)
	switch {
	case !open:
	case m != nil:
		open = id.index < len(m.status) && m.status[id.index] == running
	case t.kind == kindPoke:
		open = r.state.pokes[id.task].step(t.name) == e.Step
	}
	if !open || r.state.ended {
		return taskgraph.Conflict(e, "the outcome of an open step")
	}
	var f *workflow.Failure
	output := e.Payload
	if e.Kind == workflow.StepFailed {
		if f = e.Failure; f == nil {
			f = &workflow.Failure{Name: workflow.FailureFunction}
		}
		output, f = r.caught(t, m, id.index, f)
	}
	switch {
	case m != nil:
		r.instance(id.task, id.index, output, f)
	case f != nil:
		r.fail(id.task, f)
	case t.kind == kindPoke && e.Kind == workflow.StepSucceeded:
		r.poked(id, output)
	default:
		r.succeed(id.task, output)
	}
	return r.err
}

// caught applies the catches of a task to a failure.
func (r *run) caught(t *task, m *mapped, index int, f *workflow.Failure) (workflow.Payload, *workflow.Failure) {
	for i := range t.catches {
		if t.catches[i].failures.Rule(f.Name) < 0 {
			continue
		}
		v := r.view()
		v.failure = f
		if m != nil {
			if err := m.load(); err != nil {
				return workflow.Payload{}, r.check(err)
			}
			v.item, v.index = m.item(index), index
		}
		output, err := t.catches[i].output.payload(&v)
		return output, r.check(err)
	}
	return workflow.Payload{}, f
}

func (r *run) fail(i int32, f *workflow.Failure) {
	if r.state.failure == nil {
		r.state.failure = map[int32]*workflow.Failure{}
	}
	r.state.failure[i] = f
	r.set(i, failed)
}

// succeed makes a task succeed and follows the branch that it chose.
func (r *run) succeed(i int32, output workflow.Payload) {
	t := &r.program.tasks[i]
	if t.branch || t.short != "" {
		if f := r.follow(i, output); f != nil {
			r.fail(i, f)
			return
		}
	}
	if t.read {
		r.state.output[i] = output
	}
	r.set(i, succeeded)
}

// result is the command that ends the execution.
func (r *run) result() workflow.Command {
	s := r.state
	if s.ending != nil {
		return workflow.Command{Kind: workflow.CommandFail, Failure: s.ending}
	}
	for _, i := range r.program.leaves {
		if s.status[i] == failed || s.status[i] == upstreamFailed {
			return workflow.Command{Kind: workflow.CommandFail, Failure: r.failureOf(s.cause(r.program, i))}
		}
	}
	output, err := r.output()
	if f := r.check(err); f != nil {
		f.Cause = "output: " + f.Cause
		return workflow.Command{Kind: workflow.CommandFail, Failure: f}
	}
	return workflow.Command{Kind: workflow.CommandSucceed, Payload: output}
}

// cause finds a task that failed by itself among those before i, i included.
func (s *state) cause(p *Program, i int32) int32 {
	for s.status[i] == upstreamFailed {
		at := slices.IndexFunc(p.graph.Needs(i), func(n int32) bool { return s.status[n] == failed || s.status[n] == upstreamFailed })
		if at < 0 {
			return max(s.first, 0)
		}
		i = p.graph.Needs(i)[at]
	}
	return i
}

// failureOf is the execution's failure because of task i.
func (r *run) failureOf(i int32) *workflow.Failure {
	f := r.state.failure[i]
	if f == nil {
		return &workflow.Failure{Name: workflow.FailureProgram, Cause: "task " + r.program.tasks[i].name + " could not start: " +
			r.program.tasks[i].rule.Why(r.state.counts[i].upstream())}
	}
	whole := *f
	whole.Cause = "task " + r.program.tasks[i].name + ": " + f.Cause
	return &whole
}

// output is what the execution succeeds with.
func (r *run) output() (workflow.Payload, error) {
	p := r.program
	if p.output != nil {
		v := r.view()
		return p.output.payload(&v)
	}
	if len(p.leaves) == 1 {
		return r.state.output[p.leaves[0]], nil
	}
	b := []byte{'{'}
	for n, i := range p.leaves {
		if n > 0 {
			b = append(b, ',')
		}
		data, err := r.state.output[i].Bytes(context.Background())
		if err != nil {
			return workflow.Payload{}, err
		}
		value, err := jsonOf(r.state.output[i].MediaType(), data)
		if err != nil {
			return workflow.Payload{}, err
		}
		b = append(strconv.AppendQuote(b, p.tasks[i].name), ':')
		b = append(b, value...)
	}
	return workflow.Bytes("", append(b, '}')), nil
}
