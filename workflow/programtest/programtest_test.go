package programtest

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/workflow"
)

type stepFunc = func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error)

// stepping is a toy whose Step is another one.
func stepping(step stepFunc) Harness {
	return harness(toy{compile: func(_ *workflow.Definition, p *toyProgram) { p.step = step }})
}

// after is a toy that changes the commands of the correct Step.
func after(change func(e *workflow.Event, s *toyState, commands []workflow.Command) []workflow.Command) Harness {
	return stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
		s, commands, err := p.correct(s, e)
		if err == nil {
			commands = change(e, s.(*toyState), commands)
		}
		return s, commands, err
	})
}

func compiling(compile func(d *workflow.Definition, p *toyProgram)) Harness {
	return harness(toy{compile: compile})
}

// broken has for each clause harnesses that it must not pass.
func broken() map[string][]Harness {
	calls := 0
	var active atomic.Int64
	shared := map[string]*toyState{}
	return map[string][]Harness{
		"compile/name": {harness(toy{name: func() string { calls++; return strconv.Itoa(calls) }}), harness(toy{name: func() string { return "" }})},
		"compile/by-digest": {compiling(func(d *workflow.Definition, p *toyProgram) {
			if d.Ref.Name == "name" {
				p.n++
			}
		})},
		"compile/faults-located": {
			harness(toy{faults: func(ds workflow.Diagnostics) error {
				return faas.Errorf("toy", "compile", "", faas.ErrInvalidArgument, "%s", ds.Error())
			}}),
			harness(toy{faults: func(ds workflow.Diagnostics) error { return ds[:1].Err() }}),
			harness(toy{faults: func(ds workflow.Diagnostics) error {
				return append(ds, workflow.Diagnostic{Path: "x"}).Err()
			}}),
			harness(toy{faults: func(ds workflow.Diagnostics) error { return errors.New("it is wrong") }}),
		},
		"compile/faults-the-same": {harness(toy{faults: func(ds workflow.Diagnostics) error {
			if calls++; calls%2 == 0 {
				slices.Reverse(ds)
			}
			return ds
		}})},
		"fold/deterministic": {
			after(func(e *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
				if calls++; len(commands) > 0 {
					commands[0].Payload = workflow.JSON(strconv.Itoa(calls))
				}
				return commands
			}),
			after(func(_ *workflow.Event, s *toyState, commands []workflow.Command) []workflow.Command {
				calls++
				s.Value = workflow.JSON(strconv.Itoa(calls))
				return commands
			}),
		},
		"fold/ends": {after(func(_ *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
			return slices.DeleteFunc(commands, func(c workflow.Command) bool { return c.Kind.Ends() })
		})},
		"fold/first-event": {stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
			if s == nil {
				return &toyState{}, nil, nil
			}
			return p.correct(s, e)
		})},
		"fold/continued": {stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
			if e.Kind == workflow.ExecutionContinued {
				return nil, nil, toyConflict(e)
			}
			return p.correct(s, e)
		})},
		"fold/irrelevant-events": {
			stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
				if e.Kind > workflow.ExecutionRecovered {
					return nil, nil, toyConflict(e)
				}
				return p.correct(s, e)
			}),
			after(func(e *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
				if e.Kind == workflow.SignalReceived {
					return []workflow.Command{{Kind: workflow.CommandAnnotate, Note: "heard"}}
				}
				return commands
			}),
			after(func(e *workflow.Event, s *toyState, commands []workflow.Command) []workflow.Command {
				if e.Kind == workflow.StepRetrying {
					s.Value = workflow.JSON(`"changed"`)
					s.At = max(0, s.At-1)
				}
				return commands
			}),
		},
		"fold/foreign-outcome": {lax(func(e *workflow.Event, at int) bool { return e.Step == "no-such-step-of-the-kit" })},
		"fold/outcome-twice":   {lax(func(e *workflow.Event, at int) bool { return at > 0 && e.Step == "s"+strconv.Itoa(at-1) })},
		"fold/cancel": {stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
			st, ok := s.(*toyState)
			if ok && (e.Kind == workflow.CancelRequested || st.At < 0) {
				st.At = -1
				return st, nil, nil
			}
			return p.correct(s, e)
		})},
		"fold/payload-unavailable": {
			stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
				next, commands, err := p.correct(s, e)
				if errors.Is(err, faas.ErrUnavailable) {
					return &toyState{}, []workflow.Command{{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: "Unreadable"}}}, nil
				}
				return next, commands, err
			}),
			stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
				next, commands, err := p.correct(s, e)
				if errors.Is(err, faas.ErrUnavailable) {
					err = toyConflict(e)
				}
				return next, commands, err
			}),
		},
		"snapshot/unimplemented": {without(harness(toy{}), func(h *Harness) { h.NoSnapshots = true })},
		"snapshot/at-any-point": {compiling(func(_ *workflow.Definition, p *toyProgram) {
			p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
				s, err := p.decode(b)
				if err == nil && s.(*toyState).At == 2 {
					s.(*toyState).At = 1
				}
				return s, err
			}
		})},
		"snapshot/round-trip": {compiling(func(_ *workflow.Definition, p *toyProgram) {
			fresh := true
			p.snapshot = func(p *toyProgram, s *toyState) ([]byte, error) {
				b, err := p.encode(s)
				if s.Waste != nil {
					b = append([]byte{2}, b...)
				}
				return b, err
			}
			p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
				s, err := p.decode(bytes.TrimPrefix(b, []byte{2}))
				if err == nil && fresh {
					s.(*toyState).Waste = []byte{1}
				}
				return s, err
			}
		})},
		"snapshot/leaves-the-state-alone": {compiling(func(_ *workflow.Definition, p *toyProgram) {
			p.snapshot = func(p *toyProgram, s *toyState) ([]byte, error) {
				b, err := p.encode(s)
				s.Value = workflow.JSON(`"looked at"`)
				return b, err
			}
		})},
		"snapshot/shares-nothing": {compiling(func(_ *workflow.Definition, p *toyProgram) {
			p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
				if s := shared[string(b)]; s != nil {
					return s, nil
				}
				s, err := p.decode(b)
				if err == nil {
					shared[string(b)] = s.(*toyState)
				}
				return s, err
			}
		})},
		"snapshot/corrupt": {
			compiling(func(_ *workflow.Definition, p *toyProgram) {
				p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
					return p.decode(append(bytes.TrimSuffix(b, []byte(".")), '.'))
				}
			}),
			compiling(func(_ *workflow.Definition, p *toyProgram) {
				p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
					_ = b[2]
					return p.decode(b)
				}
			}),
			compiling(func(_ *workflow.Definition, p *toyProgram) {
				p.restore = func(p *toyProgram, b []byte) (workflow.State, error) {
					s, err := p.decode(b)
					if err != nil {
						err = errors.New("no")
					}
					return s, err
				}
			}),
		},
		"commands/step-ids": {
			renaming(func(string) string { return "s" }),
			renaming(func(string) string { return "" }),
			renaming(func(s string) string { return s + string(make([]byte, workflow.MaxStepID)) }),
		},
		"commands/nothing-after-the-end": {after(func(_ *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
			if len(commands) > 0 && commands[0].Kind.Ends() {
				commands = append(commands, commands[0])
			}
			return commands
		})},
		"commands/options-valid": {
			after(func(_ *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
				for i := range commands {
					commands[i].Options = &workflow.StepOptions{Timeout: -time.Second}
				}
				return commands
			}),
			after(func(_ *workflow.Event, _ *toyState, commands []workflow.Command) []workflow.Command {
				for i := range commands {
					commands[i].Target = faas.Ref{Name: "Not A Name"}
				}
				return commands
			}),
		},
		"graph/unimplemented": {without(harness(toy{}), func(h *Harness) { h.NoGraph = true })},
		"graph/sound": {
			drawing(func(g *workflow.Graph) { g.Edges = append(g.Edges, workflow.Edge{From: "s0", To: "nowhere"}) }),
			drawing(func(g *workflow.Graph) { g.Nodes = append(g.Nodes, g.Nodes[0]) }),
			drawing(func(g *workflow.Graph) { g.Nodes[0].Group = "nowhere" }),
			harness(undrawn{}),
		},
		"graph/names-every-node": {drawing(func(g *workflow.Graph) { g.Nodes, g.Edges = g.Nodes[:1], nil })},
		"program/shared": {stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
			now := active.Add(1)
			runtime.Gosched()
			next, commands, err := p.correct(s, e)
			if now != active.Load() || now > 1 {
				commands = append(commands, workflow.Command{Kind: workflow.CommandAnnotate, Note: "someone else is here"})
			}
			active.Add(-1)
			return next, commands, err
		})},
		"cost/flat": {after(func(_ *workflow.Event, s *toyState, commands []workflow.Command) []workflow.Command {
			s.Waste = append(make([]byte, 0, len(s.Waste)+64), s.Waste...)
			s.Waste = s.Waste[:cap(s.Waste)]
			return commands
		})},
	}
}

// lax is a toy that accepts outcomes which it should not.
func lax(accepts func(e *workflow.Event, at int) bool) Harness {
	return stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
		if st, ok := s.(*toyState); ok && (e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed) && accepts(e, st.At) {
			return st, nil, nil
		}
		return p.correct(s, e)
	})
}

// renaming is a toy whose steps have other names.
func renaming(rename func(string) string) Harness {
	return stepping(func(p *toyProgram, s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
		own := *e
		if st, ok := s.(*toyState); ok && e.Step != "" {
			own.Step = "s" + strconv.Itoa(st.At)
		}
		s, commands, err := p.correct(s, &own)
		for i := range commands {
			if commands[i].Kind.Opens() {
				commands[i].Step = rename(commands[i].Step)
			}
		}
		return s, commands, err
	})
}

func drawing(draw func(g *workflow.Graph)) Harness {
	return compiling(func(_ *workflow.Definition, p *toyProgram) { p.graph = draw })
}

func without(h Harness, change func(h *Harness)) Harness {
	change(&h)
	return h
}

func TestEveryClauseNoticesABrokenLanguage(t *testing.T) {
	recordtb.WantNoticed(t, clauses, broken())
}

func TestEveryClausePassesACorrectLanguage(t *testing.T) {
	Run(t, harness(toy{}))
	h := harness(undrawn{})
	h.NoSnapshots, h.NoGraph = true, true
	h.Skip = map[string]string{"program/shared": "shown above"}
	Run(t, h)
}
