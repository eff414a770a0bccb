package simulation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Workflow is a generated workflow: one step, then chains of steps in parallel, then a join, then a choice between two
// steps that goes 9 times of 10 to the first. Run times are log-normal.
type Workflow struct {
	ref     faas.Ref
	graph   workflow.Graph
	before  []int   // how many steps each waits for; one of those a choice is between waits for the choice
	after   [][]int // what follows
	medians []time.Duration
}

// The three last nodes.
func (w *Workflow) join() int   { return len(w.medians) - 3 }
func (w *Workflow) usual() int  { return len(w.medians) - 2 }
func (w *Workflow) seldom() int { return len(w.medians) - 1 }

// Generate returns n workflows; the same for the same seed.
func Generate(seed uint64, n int) (all []*Workflow) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		w := &Workflow{ref: faas.Ref{Namespace: faas.DefaultNamespace, Name: fmt.Sprint("w-", i), Version: "1"}}
		first := w.step(r)
		var ends []int
		for range 6 + r.IntN(13) {
			last := first
			for range 1 + r.IntN(4) {
				next := w.step(r)
				w.edge(last, next, false)
				last = next
			}
			ends = append(ends, last)
		}
		join := w.step(r)
		for _, end := range ends {
			w.edge(end, join, false)
		}
		w.edge(join, w.step(r), true)
		w.edge(join, w.step(r), true)
		all = append(all, w)
	}
	return all
}

func (w *Workflow) step(r *rand.Rand) int {
	i := len(w.medians)
	w.graph.Nodes = append(w.graph.Nodes, workflow.Node{Name: fmt.Sprint(i), Kind: "call",
		Function: faas.Ref{Namespace: faas.DefaultNamespace, Name: fmt.Sprintf("%s-%d", w.ref.Name, i)}})
	w.before, w.after = append(w.before, 0), append(w.after, nil)
	w.medians = append(w.medians, time.Duration(math.Exp(r.NormFloat64()*1.2)*float64(time.Second)))
	return i
}

func (w *Workflow) edge(from, to int, choice bool) {
	w.before[to]++
	w.after[from] = append(w.after[from], to)
	w.graph.Edges = append(w.graph.Edges, workflow.Edge{From: fmt.Sprint(from), To: fmt.Sprint(to), Choice: choice})
}

// execution is one execution of a workflow: how long each step will run, and what is left of it.
type execution struct {
	*Workflow
	ref     workflow.ExecutionRef
	began   time.Time
	missing []int
	runs    []time.Duration
	seldom  bool
	open    int
}

func (w *Workflow) execution(r *rand.Rand, number int, began time.Time) *execution {
	x := &execution{Workflow: w, began: began, missing: append([]int(nil), w.before...), seldom: r.IntN(10) == 0,
		ref: workflow.ExecutionRef{Namespace: faas.DefaultNamespace, ID: fmt.Sprint(number), Run: 1}}
	for _, median := range w.medians {
		x.runs = append(x.runs, time.Duration(float64(median)*math.Exp(r.NormFloat64()*0.2)))
	}
	return x
}

// follow calls f for what a step that ended makes ready.
func (x *execution) follow(step int, f func(next int)) {
	for _, next := range x.after[step] {
		if step == x.join() && (next == x.Workflow.seldom()) != x.seldom {
			continue
		}
		if x.missing[next]--; x.missing[next] == 0 {
			f(next)
		}
	}
}

// least is how long the execution takes at least on so many slots: its longest way, or all its work shared evenly.
func (x *execution) least(slots int) time.Duration {
	ways := make([]time.Duration, len(x.runs)) // to the end of each step; edges lead to higher numbers
	var longest, work time.Duration
	for i := range x.runs {
		if i == x.usual() && x.seldom || i == x.Workflow.seldom() && !x.seldom {
			continue
		}
		ways[i] += x.runs[i]
		work += x.runs[i]
		longest = max(longest, ways[i])
		for _, next := range x.after[i] {
			ways[next] = max(ways[next], ways[i])
		}
	}
	if slots == 0 {
		return longest
	}
	return max(longest, work/time.Duration(slots))
}
