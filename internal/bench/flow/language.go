package flow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// languageName is that of the language whose sources are Trees in JSON: the least that a
// definition can be, so that it shows what the engine costs by itself.
const languageName = "tree"

// language implements workflow.Language.
type language struct{}

func (language) Name() string { return languageName }

func (language) Compile(d *workflow.Definition) (workflow.Program, error) {
	p := &program{}
	if err := json.Unmarshal([]byte(d.Source), &p.tree); err != nil {
		return nil, workflow.Diagnostics{{Path: "source", Rule: err.Error()}}
	}
	p.steps = make([]string, p.tree.Steps)
	for i := range p.steps {
		p.steps[i] = "step-" + strconv.Itoa(i+1)
	}
	return p, nil
}

// function is what every step calls: it answers a number with the next one.
var function = faas.Ref{Namespace: faas.DefaultNamespace, Name: "next"}

// next is the function, for engines of ours.
var next = faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
	body, err := req.Body.ReadAll(0)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(body))
	if err != nil {
		return nil, err
	}
	return &faas.Response{Body: faas.Bytes(strconv.AppendInt(nil, int64(n+1), 10))}, nil
})

// program folds one execution of a tree.
type program struct {
	tree  Tree
	steps []string
}

// progress is its state.
type progress struct{ ended, sum int }

// Step implements workflow.Program.
func (p *program) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	switch e.Kind {
	case workflow.ExecutionStarted:
		n := 1
		if p.tree.Parallel {
			n = p.tree.Steps
		}
		calls := make([]workflow.Command, n)
		for i := range calls {
			calls[i] = p.call(i, i)
		}
		return &progress{}, calls, nil
	case workflow.StepSucceeded:
		data, err := e.Payload.Bytes(context.Background())
		if err != nil {
			return s, nil, err
		}
		value, err := strconv.Atoi(string(data))
		if err != nil {
			return s, nil, faas.Errorf("bench", "fold", e.Step, faas.ErrConflict, "%w", err)
		}
		st := s.(*progress)
		st.ended++
		if p.tree.Parallel {
			st.sum += value
		} else {
			st.sum = value
		}
		switch {
		case st.ended == p.tree.Steps:
			return st, []workflow.Command{{Kind: workflow.CommandSucceed, Payload: number(st.sum)}}, nil
		case !p.tree.Parallel:
			return st, []workflow.Command{p.call(st.ended, st.sum)}, nil
		}
	case workflow.StepFailed:
		return s, []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}, nil
	}
	return s, nil, nil
}

// call opens step i, from 0, with the number.
func (p *program) call(i, n int) workflow.Command {
	return workflow.Command{Kind: workflow.CommandCall, Step: p.steps[i], Node: "step", Target: function, Payload: number(n)}
}

// Snapshot implements workflow.Program.
func (p *program) Snapshot(s workflow.State) ([]byte, error) {
	st := s.(*progress)
	return binary.AppendVarint(binary.AppendVarint(nil, int64(st.ended)), int64(st.sum)), nil
}

// Restore implements workflow.Program.
func (p *program) Restore(snapshot []byte, _ workflow.PayloadSource) (workflow.State, error) {
	ended, n := binary.Varint(snapshot)
	sum, m := binary.Varint(snapshot[max(n, 0):])
	if n <= 0 || m <= 0 {
		return nil, faas.Errorf("bench", "restore", "", faas.ErrCorrupt, "snapshot is cut off")
	}
	return &progress{ended: int(ended), sum: int(sum)}, nil
}

func number(n int) workflow.Payload {
	return workflow.Bytes("", strconv.AppendInt(nil, int64(n), 10))
}
