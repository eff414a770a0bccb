package durable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Name is the language's name, as Definition.Language has it.
const Name = "durable"

// DefaultBudget is how long workflow code may run between two waits.
const DefaultBudget = 10 * time.Second

// Code is a version of a workflow: a Go function under a name.
type Code struct {
	name, version string
	run           func(Context, workflow.Payload) (workflow.Payload, error)
}

// Workflow names a function. It must be deterministic: what it does depends on its input and on what the
// calls of this package return alone (see the package's documentation). Executions are bound to name and
// version, so a function that is changed gets a new version, and the old one stays as
// long as it has executions; Context.Patched guards a change within one version. Both
// follow the rule of faas.ValidateName.
func Workflow[In, Out any](name, version string, fn func(ctx Context, in In) (Out, error)) Code {
	c := Code{name: name, version: version}
	if fn == nil {
		return c
	}
	c.run = func(ctx Context, p workflow.Payload) (workflow.Payload, error) {
		in, err := decode[In](ctx.x, p, "input")
		if err != nil {
			return workflow.Payload{}, &workflow.Failure{Name: workflow.FailureProgram, Cause: "input of workflow " + name + ": " + err.Error()}
		}
		out, err := fn(ctx, in)
		if err != nil {
			return workflow.Payload{}, err
		}
		return encode(out)
	}
	return c
}

func (c *Code) id() string { return c.name + "@" + c.version }

// Definition returns the definition that runs the code, named like it. The caller may set the
// other fields before registering or starting it.
func (c Code) Definition() workflow.Definition {
	return workflow.Definition{Ref: faas.Ref{Name: c.name}, Language: Name, Source: c.id()}
}

// Options of New.
type Options struct {
	// Budget is how long workflow code may run between two waits, before the execution is given up as
	// stuck. Zero: DefaultBudget.
	Budget time.Duration
}

// Language is the workflow.Language of workflows written in Go. Safe for concurrent use.
type Language struct {
	programs map[string]*program
	budget   time.Duration
}

// New returns the language that knows the given code. o may be nil. Errors: ErrInvalidArgument with every fault;
// ErrAlreadyExists for two of one name and version.
func New(o *Options, workflows ...Code) (*Language, error) {
	l := &Language{programs: map[string]*program{}, budget: DefaultBudget}
	var errs []error
	if o != nil && o.Budget != 0 {
		l.budget = o.Budget
	}
	if l.budget < 0 {
		errs = append(errs, faas.Errorf(Name, "new language", "budget", faas.ErrInvalidArgument, "%v is negative", l.budget))
	}
	for _, c := range workflows {
		errs = append(errs, faas.ValidateName("workflow", c.name), faas.ValidateName("version", c.version))
		if c.run == nil {
			errs = append(errs, faas.Errorf(Name, "new language", c.id(), faas.ErrInvalidArgument, "the function is nil"))
		}
		if _, ok := l.programs[c.id()]; ok {
			errs = append(errs, faas.Errorf(Name, "new language", c.id(), faas.ErrAlreadyExists, "two workflows have this name and version"))
		}
		l.programs[c.id()] = &program{code: c, budget: l.budget}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// Name is "durable".
func (l *Language) Name() string { return Name }

// Compile finds the code that the source names: "charge@1". ErrNotFound if New was not given it: executions of it
// wait until a process has it again.
func (l *Language) Compile(d *workflow.Definition) (workflow.Program, error) {
	if p, ok := l.programs[d.Source]; ok {
		return p, nil
	}
	name, version, _ := strings.Cut(d.Source, "@")
	if faas.ValidateName("workflow", name) != nil || faas.ValidateName("version", version) != nil {
		return nil, workflow.Diagnostics{{Path: "source", Rule: fmt.Sprintf(`%.80q does not name code as "name@version"`, d.Source)}}
	}
	var known []string
	for id := range l.programs {
		known = append(known, id)
	}
	slices.Sort(known)
	err := faas.Errorf(Name, "compile", d.Source, faas.ErrNotFound, "this process does not have the code; it has %s", strings.Join(known, ", "))
	err.Next = "give it to durable.New; what was started with a version needs that version until it has ended"
	return nil, err
}
