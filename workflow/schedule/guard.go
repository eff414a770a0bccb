package schedule

import (
	"encoding/json"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// A guard is an execution between a schedule and a run that may have to be terminated: a Program can cancel a child, and
// what becomes of the children of one that ends is terminated. So the schedule cancels the guard,
// the guard ends at once, and the engine terminates its child, the run.

const guardSource = "guard of a run: "

// guarded is what a guard starts.
type guarded struct {
	Workflow   faas.Ref          `json:"workflow"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// guardOf returns the definition of the guard of a run.
func guardOf(c guarded, durability workflow.Durability) *workflow.Definition {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // names always marshal
	}
	return &workflow.Definition{Ref: c.Workflow.Unversioned(), Language: Name, Durability: durability, Source: guardSource + string(text)}
}

func compileGuard(d *workflow.Definition) (*guard, bool) {
	text, ok := strings.CutPrefix(d.Source, guardSource)
	if !ok {
		return nil, false
	}
	p := new(guard)
	return p, json.Unmarshal([]byte(text), &p.guarded) == nil && p.Workflow.Validate() == nil
}

// guard is the Program of a guard. It has no state.
type guard struct{ guarded }

const guardedStep = "run"

// Step implements workflow.Program.
func (p *guard) Step(_ workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	var c workflow.Command
	switch {
	case e.Kind == workflow.ExecutionStarted || e.Kind == workflow.ExecutionContinued:
		c = workflow.Command{Kind: workflow.CommandChild, Step: guardedStep, Target: p.Workflow, Payload: e.Payload,
			Child: &workflow.ChildOptions{OnClose: workflow.ChildTerminates, Attributes: p.Attributes}}
	case e.Kind == workflow.StepSucceeded && e.Step == guardedStep:
		c = workflow.Command{Kind: workflow.CommandSucceed, Payload: e.Payload}
	case e.Kind == workflow.StepFailed && e.Step == guardedStep:
		c = workflow.Command{Kind: workflow.CommandFail, Failure: e.Failure}
	case e.Kind == workflow.CancelRequested:
		c = workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled, Cause: "another run took its place"}}
	default:
		return p, nil, nil
	}
	return p, []workflow.Command{c}, nil
}

// Snapshot implements workflow.Program.
func (p *guard) Snapshot(workflow.State) ([]byte, error) { return []byte("{}"), nil }

// Restore implements workflow.Program.
func (p *guard) Restore([]byte, workflow.PayloadSource) (workflow.State, error) { return p, nil }
