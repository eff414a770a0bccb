package durable

import (
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// CallOptions say how a call or an activity is run. They are shared by the steps they were given to
// and must not be changed afterwards.
type CallOptions struct {
	// Name is the node: what step IDs begin with and histories show. Empty: the function's or activity's
	// name. It follows the rule of faas.ValidateName.
	Name string
	workflow.StepOptions
}

// ChildOptions say how a child execution is run; see CallOptions.
type ChildOptions struct {
	// Name is the node. Empty: the workflow's name.
	Name string
	workflow.StepOptions
	workflow.ChildOptions
}

// Call opens a step that invokes a function, one of the execution's namespace unless it names another, with in, as JSON (a workflow.Payload is passed on as it
// is, nil is an empty body), and returns the future of its answer. Answers that are no JSON can
// be had as workflow.Payload, []byte and string. o may be nil. What is wrong with
// the arguments, Get says: ErrInvalidArgument.
func Call[T any](ctx Context, fn faas.Ref, in any, o *CallOptions) Future[T] {
	ctx.x.enter()
	fn = ctx.within(fn)
	f := &future{x: ctx.x, kind: workflow.CommandCall, target: fn, node: fn.Name}
	err := fn.Validate()
	cmd := workflow.Command{Target: fn}
	if o != nil {
		cmd.Options = &o.StepOptions
		err = first(err, f.rename(o.Name), ctx.x.check(&o.StepOptions))
	}
	ctx.openWith(f, f.node, cmd, in, err)
	return Future[T]{f}
}

// within gives a function or workflow without a namespace that of the execution.
func (c Context) within(ref faas.Ref) faas.Ref {
	if ref.Namespace == "" {
		ref.Namespace = c.x.start.Execution.Namespace
	}
	return ref
}

// Activity opens a step that a pull worker takes from the queue of that name (see workflow.Workers).
// The rest is as for Call.
func Activity[T any](ctx Context, name string, in any, o *CallOptions) Future[T] {
	ctx.x.enter()
	f := &future{x: ctx.x, kind: workflow.CommandActivity, name: name, node: name}
	err := validName("activity", name)
	cmd := workflow.Command{Name: name}
	if o != nil {
		cmd.Options = &o.StepOptions
		err = first(err, f.rename(o.Name), ctx.x.check(&o.StepOptions))
	}
	ctx.openWith(f, "activity:"+f.node, cmd, in, err)
	return Future[T]{f}
}

// Child opens a step that runs the workflow, or o.Definition, as an execution of its own, and returns the
// future of its output; with o.Detached of its ID. The rest is as for Call.
func Child[T any](ctx Context, definition faas.Ref, in any, o *ChildOptions) Future[T] {
	ctx.x.enter()
	if o != nil && o.Definition != nil {
		definition = o.Definition.Ref
	}
	definition = ctx.within(definition)
	f := &future{x: ctx.x, kind: workflow.CommandChild, target: definition, node: definition.Name}
	err := definition.Validate()
	cmd := workflow.Command{Target: definition}
	if o != nil {
		cmd.Options, cmd.Child = &o.StepOptions, &o.ChildOptions
		err = first(err, f.rename(o.Name), ctx.x.check(&o.StepOptions))
	}
	ctx.openWith(f, "child:"+f.node, cmd, in, err)
	return Future[T]{f}
}

// Receive opens a wait for the next signal of that name and returns the future of its value. Signals
// that came before are kept: the oldest one nobody received is next. A positive timeout bounds the wait:
// then Get is ErrTimeout.
func Receive[T any](ctx Context, signal string, timeout time.Duration) Future[T] {
	ctx.x.enter()
	f := &future{x: ctx.x, kind: workflow.CommandWait, name: signal, node: signal}
	cmd := workflow.Command{Name: signal}
	if timeout > 0 {
		cmd.Due = ctx.x.now.Add(timeout)
	}
	ctx.openWith(f, "signal:"+signal, cmd, nil, validName("signal", signal))
	return Future[T]{f}
}

// SideEffect records what fn returns, so that it is the same in every replay: a value from outside that is
// quick to have, such as a setting. fn may run again during a recovery, but what was recorded
// first counts. Whatever may fail or takes time belongs in a function or an activity. The name follows the
// rule of faas.ValidateName.
func SideEffect[T any](ctx Context, name string, fn func() T) (T, error) {
	ctx.x.enter()
	f := &future{x: ctx.x, kind: workflow.CommandRecord, node: name}
	err := faas.ValidateName("side effect", name)
	if err == nil && ctx.scope.err == nil {
		ctx.openWith(f, "record:"+name, workflow.Command{}, fn(), nil)
	} else {
		ctx.openWith(f, "", workflow.Command{}, nil, err)
	}
	return Future[T]{f}.Get()
}

// Go starts a coroutine and returns the future of its result. Coroutines do not run at the same time: one
// runs until it waits for something. The execution ends when the workflow's function returns,
// whether coroutines are left or not.
func Go[T any](ctx Context, fn func(Context) (T, error)) Future[T] {
	x := ctx.x
	x.enter()
	f := &future{x: x}
	x.spawn(func() {
		v, err := fn(ctx)
		x.settle(f, workflow.Payload{}, v, err)
	})
	return Future[T]{f}
}

// openWith opens the step with in as its payload, or settles its future with err.
func (c Context) openWith(f *future, base string, cmd workflow.Command, in any, err error) {
	if err == nil {
		cmd.Payload, err = encode(in)
	}
	if err != nil {
		f.settled, f.err = true, err
		return
	}
	c.open(f, base, cmd)
}

// open opens the step, unless the scope is cancelled.
func (c Context) open(f *future, base string, cmd workflow.Command) {
	if c.scope.err != nil {
		f.settled, f.err = true, failed(f.what(), f.node, c.scope.err)
		return
	}
	x := c.x
	f.id = x.nextID(base)
	cmd.Kind, cmd.Step, cmd.Node = f.kind, f.id, f.node
	x.open[f.id] = f
	c.scope.add(f)
	x.last.Store(f)
	x.command(cmd)
}

// wait waits until the future is settled.
func (x *execution) wait(f *future) {
	for !f.settled {
		co := x.current
		f.expect(co)
		co.one[0] = f
		x.park(co.one[:], "")
	}
}

// abort ends the turn: Step fails with err, and is tried again later.
func (x *execution) abort(err error) {
	x.aborted = err
	runtime.Goexit()
}

// check validates options, once if they are used again.
func (x *execution) check(o *workflow.StepOptions) error {
	if o == x.checked {
		return nil
	}
	err := o.Validate()
	if err == nil {
		x.checked = o
	}
	return err
}

// rename gives the step another node.
func (f *future) rename(name string) error {
	if name == "" {
		return nil
	}
	f.node = name
	return faas.ValidateName("step name", name)
}

// maxName bounds the names of signals and activities, so that step IDs stay within workflow.MaxStepID.
const maxName = 200

// validName checks the name of a signal or an activity: '#' would make step IDs ambiguous.
func validName(what, name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.Contains(name, "#") {
		return faas.Errorf("durable", "validate", what, faas.ErrInvalidArgument, "%.80q is not a name of 1 to %d bytes of UTF-8 without '#'", name, maxName)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
