package programtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// toy is a correct language: a source is the number of calls to make, one after the other. A double
// breaks exactly one promise of it.
type toy struct {
	name    func() string
	compile func(d *workflow.Definition, p *toyProgram)
	faults  func(ds workflow.Diagnostics) error
}

func (l toy) Name() string {
	if l.name != nil {
		return l.name()
	}
	return "toy"
}

func (l toy) Compile(d *workflow.Definition) (workflow.Program, error) {
	var ds workflow.Diagnostics
	n := 0
	for i, part := range strings.Fields(d.Source) {
		var err error
		if n, err = strconv.Atoi(part); err != nil {
			ds = append(ds, workflow.Diagnostic{Path: fmt.Sprintf("parts[%d]", i), Rule: "is no number", Line: 1, Column: i + 1})
		}
	}
	if len(ds) > 0 {
		if l.faults != nil {
			return nil, l.faults(ds)
		}
		return nil, ds.Err()
	}
	p := &toyProgram{n: n}
	if l.compile != nil {
		l.compile(d, p)
	}
	return p, nil
}

type toyState struct {
	At    int
	Value workflow.Payload
	Waste []byte
}

type toyProgram struct {
	n        int
	step     func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error)
	snapshot func(p *toyProgram, s *toyState) ([]byte, error)
	restore  func(p *toyProgram, b []byte) (workflow.State, error)
	graph    func(g *workflow.Graph)
}

func (p *toyProgram) open(s *toyState) []workflow.Command {
	if s.At == p.n {
		return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: s.Value}}
	}
	return []workflow.Command{{Kind: workflow.CommandCall, Step: "s" + strconv.Itoa(s.At), Target: faas.Ref{Name: "f"}, Payload: s.Value}}
}

func (p *toyProgram) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if p.step != nil {
		return p.step(p, s, e)
	}
	return p.correct(s, e)
}

func toyConflict(e *workflow.Event) error {
	return faas.Errorf("toy", "step", e.Step, faas.ErrConflict, "the event does not fit")
}

func (p *toyProgram) correct(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if s == nil {
		if e.Kind != workflow.ExecutionStarted && e.Kind != workflow.ExecutionContinued {
			return nil, nil, toyConflict(e)
		}
		data, err := e.Payload.Bytes(context.Background())
		if err != nil {
			return nil, nil, err
		}
		st := &toyState{Value: workflow.Bytes("", data)}
		return st, p.open(st), nil
	}
	st := s.(*toyState)
	switch e.Kind {
	case workflow.StepSucceeded:
		if e.Step != "s"+strconv.Itoa(st.At) {
			return nil, nil, toyConflict(e)
		}
		st.At++
		st.Value = e.Payload
		return st, p.open(st), nil
	case workflow.StepFailed:
		if e.Step != "s"+strconv.Itoa(st.At) {
			return nil, nil, toyConflict(e)
		}
		return st, []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}, nil
	case workflow.CancelRequested:
		return st, []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}, nil
	}
	return st, nil, nil
}

func (p *toyProgram) Snapshot(s workflow.State) ([]byte, error) {
	if p.snapshot != nil {
		return p.snapshot(p, s.(*toyState))
	}
	return p.encode(s.(*toyState))
}

func (p *toyProgram) encode(s *toyState) ([]byte, error) {
	return append([]byte{1, byte(s.At)}, append(workflow.AppendPayload(nil, s.Value), '.')...), nil
}

func (p *toyProgram) Restore(b []byte, source workflow.PayloadSource) (workflow.State, error) {
	if p.restore != nil {
		return p.restore(p, b)
	}
	return p.decode(b)
}

func (p *toyProgram) decode(b []byte) (workflow.State, error) {
	corrupt := faas.Errorf("toy", "restore", "", faas.ErrCorrupt, "malformed")
	if len(b) < 3 || b[0] != 1 {
		return nil, corrupt
	}
	value, rest, err := workflow.DecodePayload(b[2:], nil)
	if err != nil || string(rest) != "." {
		return nil, errors.Join(err, corrupt)
	}
	return &toyState{At: int(b[1]), Value: value}, nil
}

func (p *toyProgram) Graph() *workflow.Graph {
	g := &workflow.Graph{}
	for i := range p.n {
		g.Nodes = append(g.Nodes, workflow.Node{Name: "s" + strconv.Itoa(i)})
		if i > 0 {
			g.Edges = append(g.Edges, workflow.Edge{From: g.Nodes[i-1].Name, To: g.Nodes[i].Name})
		}
	}
	if p.graph != nil {
		p.graph(g)
	}
	return g
}

// undrawn is a toy without a graph, and without snapshots.
type undrawn struct{ toy }

type undrawnProgram struct{ workflow.Program }

func (undrawnProgram) Snapshot(workflow.State) ([]byte, error) {
	return nil, faas.Errorf("toy", "snapshot", "", faas.ErrUnimplemented, "there are none")
}

func (l undrawn) Compile(d *workflow.Definition) (workflow.Program, error) {
	p, err := l.toy.Compile(d)
	if err != nil {
		return nil, err
	}
	return undrawnProgram{p}, nil
}

func harness(l workflow.Language) Harness {
	return Harness{
		Language: l,
		Cases: []Case{
			{Name: "three", Source: "3", Input: workflow.JSON(`"in"`)},
			{Name: "fails", Source: "3", Input: workflow.JSON(`1`), Answer: func(c workflow.Command, _ int) Outcome {
				if c.Step == "s1" {
					return Outcome{Failure: &workflow.Failure{Name: "Boom"}}
				}
				return Outcome{Output: c.Payload}
			}},
		},
		Invalid: []Invalid{{Name: "words", Source: "a 1 b", Paths: []string{"parts[0]", "parts[2]"}}},
		Grow:    func(n int) Case { return Case{Name: "long", Source: strconv.Itoa(n), Input: workflow.JSON(`1`)} },
	}
}
