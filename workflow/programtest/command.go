package programtest

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var compileClauses = []clause{
	{Name: "compile/name", Check: func(tb testing.TB, h Harness) {
		if name := h.Language.Name(); name == "" || name != h.Language.Name() {
			tb.Errorf("Name is %q, then %q", name, h.Language.Name())
		}
	}},
	{Name: "compile/by-digest", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			_, r := h.play(tb, c)
			d := h.definition(c.Source)
			d.Ref = faas.Ref{Namespace: "other", Name: "name", Version: "9"}
			d.Created = Epoch()
			other, err := h.Language.Compile(d)
			if err != nil {
				tb.Errorf("%s: under another name: %v", c.Name, err)
				continue
			}
			s, commands, err := fold(other, nil, r.Events)
			if err != nil {
				tb.Errorf("%s: compiled again under another name: %v", c.Name, err)
				continue
			}
			wantSame(tb, c.Name+", compiled again under another name", commands, r.Commands)
			release(other, s)
		}
	}},
	{Name: "compile/faults-located", Check: func(tb testing.TB, h Harness) {
		if len(h.Invalid) == 0 {
			tb.Skip("the harness has no invalid definitions")
		}
		for _, bad := range h.Invalid {
			_, err := h.Language.Compile(h.definition(bad.Source))
			wantClass(tb, err, faas.ErrInvalidArgument, bad.Name)
			var ds workflow.Diagnostics
			if !errors.As(err, &ds) {
				tb.Errorf("%s: %v is a %T, want workflow.Diagnostics", bad.Name, err, err)
				continue
			}
			found := map[string]bool{}
			for _, d := range ds {
				found[d.Path] = true
				if d.Path == "" || d.Rule == "" {
					tb.Errorf("%s: a fault has no path or no rule: %+v", bad.Name, d)
				}
			}
			for _, path := range bad.Paths {
				if !found[path] {
					tb.Errorf("%s: no fault at %s; there is\n%v", bad.Name, path, err)
				}
			}
		}
	}},
	{Name: "compile/faults-the-same", Check: func(tb testing.TB, h Harness) {
		if len(h.Invalid) == 0 {
			tb.Skip("the harness has no invalid definitions")
		}
		for _, bad := range h.Invalid {
			_, first := h.Language.Compile(h.definition(bad.Source))
			for range 5 {
				_, err := h.Language.Compile(h.definition(bad.Source))
				if !reflect.DeepEqual(first, err) {
					tb.Errorf("%s: the faults are\n%v\nthen\n%v", bad.Name, first, err)
					break
				}
			}
		}
	}},
}

var commandClauses = []clause{
	{Name: "commands/step-ids", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			_, r := h.play(tb, c)
			state := map[string]string{}
			for i, commands := range r.Commands {
				if e := r.Events[i]; e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed {
					state[e.Step] = e.Kind.String()
				}
				for _, command := range commands {
					if !command.Kind.Opens() {
						continue
					}
					id := command.Step
					if id == "" || len(id) > workflow.MaxStepID || !utf8.ValidString(id) {
						tb.Errorf("%s: the step ID %q is empty, too long or not UTF-8", c.Name, id)
					}
					if was, used := state[id]; used && was != workflow.StepFailed.String() {
						tb.Errorf("%s: event %d: the step ID %q was used before (%s)", c.Name, i+1, id, was)
					}
					state[id] = "open"
				}
			}
		}
	}},
	{Name: "commands/nothing-after-the-end", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			_, r := h.play(tb, c)
			ends := 0
			for _, commands := range r.Commands {
				for _, command := range commands {
					if ends > 0 {
						tb.Errorf("%s: a command follows the one that ended the log: %s", c.Name, text(command))
					}
					if command.Kind.Ends() {
						ends++
					}
				}
			}
		}
	}},
	{Name: "commands/options-valid", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			_, r := h.play(tb, c)
			for _, command := range r.Opened() {
				if err := command.Options.Validate(); err != nil {
					tb.Errorf("%s: step %q: %v", c.Name, command.Step, err)
				}
				calls := command.Kind == workflow.CommandCall || command.Kind == workflow.CommandChild && (command.Child == nil || command.Child.Definition == nil)
				if err := command.Target.Validate(); calls && err != nil {
					tb.Errorf("%s: step %q: %v", c.Name, command.Step, err)
				}
			}
		}
	}},
	{Name: "graph/unimplemented", Check: func(tb testing.TB, h Harness) {
		if !h.NoGraph {
			tb.Skip("the language has graphs")
		}
		if _, ok := h.compile(tb, h.Cases[0]).(workflow.Grapher); ok {
			tb.Error("the harness says NoGraph, and there is a graph")
		}
	}},
	{Name: "graph/sound", Check: func(tb testing.TB, h Harness) {
		eachGraph(tb, h, func(c Case, g *workflow.Graph, nodes map[string]bool, _ *Record) {
			for _, n := range g.Nodes {
				if n.Group != "" && !nodes[n.Group] {
					tb.Errorf("%s: the node %q lies in the group %q, which is no node", c.Name, n.Name, n.Group)
				}
			}
			for _, e := range g.Edges {
				if !nodes[e.From] || !nodes[e.To] {
					tb.Errorf("%s: the edge %q → %q leads from or to no node", c.Name, e.From, e.To)
				}
			}
		})
	}},
	{Name: "graph/names-every-node", Check: func(tb testing.TB, h Harness) {
		eachGraph(tb, h, func(c Case, g *workflow.Graph, nodes map[string]bool, r *Record) {
			for _, command := range r.Opened() {
				node := command.Node
				if node == "" {
					node = command.Step
				}
				if !nodes[node] {
					tb.Errorf("%s: the step %q names the node %q, which the graph does not have", c.Name, command.Step, node)
				}
			}
		})
	}},
}

func eachGraph(tb testing.TB, h Harness, f func(c Case, g *workflow.Graph, nodes map[string]bool, r *Record)) {
	if h.NoGraph {
		tb.Skip("the language has no graphs")
	}
	for _, c := range h.Cases {
		p, r := h.play(tb, c)
		drawn, ok := p.(workflow.Grapher)
		if !ok {
			tb.Fatalf("%s: the program is no workflow.Grapher", c.Name)
		}
		g := drawn.Graph()
		nodes := map[string]bool{}
		for _, n := range g.Nodes {
			if n.Name == "" || nodes[n.Name] {
				tb.Errorf("%s: the node %q is empty or stands twice", c.Name, n.Name)
			}
			nodes[n.Name] = true
		}
		f(c, g, nodes, r)
	}
}

var costClauses = []clause{
	{Name: "program/shared", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			var workers sync.WaitGroup
			results := make([]error, 8)
			for i := range results {
				workers.Go(func() {
					for range 5 {
						s, commands, err := fold(p, nil, r.Events)
						if err == nil && fmt.Sprint(len(commands)) != fmt.Sprint(len(r.Commands)) {
							err = fmt.Errorf("%d commands, want %d", len(commands), len(r.Commands))
						}
						for j := range commands {
							for k := range commands[j] {
								if err == nil && (k >= len(r.Commands[j]) || text(commands[j][k]) != text(r.Commands[j][k])) {
									err = fmt.Errorf("event %d gives other commands", j+1)
								}
							}
						}
						if err != nil {
							results[i] = err
							return
						}
						release(p, s)
					}
				})
			}
			workers.Wait()
			for _, err := range results {
				if err != nil {
					tb.Errorf("%s: eight goroutines share the program: %v", c.Name, err)
					break
				}
			}
		}
	}},
	{Name: "cost/flat", Check: func(tb testing.TB, h Harness) {
		if h.Grow == nil {
			tb.Skip("the harness cannot grow a case")
		}
		small, large := h.perEvent(tb, 200), h.perEvent(tb, 2_000)
		if large > 2*small+256 {
			tb.Errorf("an event of a log of 200 costs %.0f bytes, of one of 2,000 %.0f bytes: the cost of a step grows with the history", small, large)
		}
	}},
}

// perEvent is how many bytes folding an event allocates, on average over a log of about n events.
func (h Harness) perEvent(tb testing.TB, n int) float64 {
	tb.Helper()
	c := h.Grow(n)
	p, r := h.play(tb, c)
	if len(r.Events) < n {
		tb.Fatalf("the kit asked for a log of %d events and got %d", n, len(r.Events))
	}
	best := 0.0
	for i := range 3 { // others may allocate meanwhile: the least counts
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, _, err := fold(p, nil, r.Events)
		runtime.ReadMemStats(&after)
		if err != nil {
			tb.Fatal(err)
		}
		release(p, s)
		if cost := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(r.Events)); i == 0 || cost < best {
			best = cost
		}
	}
	return best
}
