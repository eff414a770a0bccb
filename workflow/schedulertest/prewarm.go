package schedulertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// observe gives 100 records of a node.
func observe(l workflow.Learner, flow faas.Ref, node string, run, cold time.Duration) {
	for range 100 {
		l.Observe(workflow.StepRecord{Workflow: flow, Node: node, Function: faas.Ref{Namespace: "default", Name: node},
			Attempt: 1, Run: run + cold, Cold: cold})
	}
}

// chain is a world in which b follows a, which takes 10 s; the cold start of b takes 2 s.
func chain(tb testing.TB, h Harness) *world {
	tb.Helper()
	w := newWorld(tb, h, Limits{})
	l := w.learner()
	observe(l, workflowOf(0), "a", 10*time.Second, 0)
	observe(l, workflowOf(0), "b", time.Second, 2*time.Second)
	l.Describe(workflowOf(0), &workflow.Graph{Nodes: nodes("a", "b"), Edges: []workflow.Edge{{From: "a", To: "b"}}})
	return w
}

// asked returns the nodes that were prewarmed.
func (w *world) asked() string {
	var names []string
	for _, p := range w.prewarm {
		names = append(names, p.Node)
	}
	return strings.Join(names, " ")
}

// prewarms skips a scheduler that does not.
func (h Harness) prewarms(tb testing.TB) {
	tb.Helper()
	if !h.Prewarms {
		tb.Skip("the scheduler does not prewarm: Harness.Prewarms is false")
	}
}

// branches is a world in which either b and then d follow a, or c and then e, by a choice. Each way takes 10 s, and
// the cold starts of d and e 5 s.
func branches(tb testing.TB, h Harness) *world {
	tb.Helper()
	w := newWorld(tb, h, Limits{})
	l := w.learner()
	flow := workflowOf(0)
	observe(l, flow, "a", time.Second, 0)
	for _, node := range []string{"b", "c"} {
		observe(l, flow, node, 10*time.Second, 0)
	}
	for _, node := range []string{"d", "e"} {
		observe(l, flow, node, time.Second, 5*time.Second)
	}
	l.Describe(flow, &workflow.Graph{
		Nodes: append(nodes("a", "b", "c", "d", "e"), workflow.Node{Name: "which", Kind: "choice"}),
		Edges: []workflow.Edge{{From: "a", To: "which"}, {From: "which", To: "b", Choice: true}, {From: "which", To: "c", Choice: true},
			{From: "b", To: "d"}, {From: "c", To: "e"}},
	})
	return w
}

// play runs nodes of an execution one after the other, each for its time, and ends the execution.
func (w *world) play(id string, names []string, runs ...time.Duration) {
	w.tb.Helper()
	var s *workflow.ReadyStep
	for i, node := range names {
		s = w.at(workflowOf(0), id, node)
		w.ready(s)
		w.sleep(runs[i])
		w.done(s, workflow.StepRecord{Run: runs[i]})
	}
	w.ended(s.Execution)
}

var prewarmClauses = []clause{
	{Name: "prewarm/what-is-expected-in-time", Check: func(tb testing.TB, h Harness) {
		w := chain(tb, h)
		a := w.at(workflowOf(0), "x", "a")
		w.ready(a)
		w.sleep(5 * time.Second)
		if len(w.prewarm) > 0 {
			tb.Errorf("b is prewarmed 5 s before it is expected, and its cold start takes 2 s: %+v", w.prewarm)
		}
		w.sleep(3500 * time.Millisecond)
		if !h.Prewarms {
			if len(w.prewarm) > 0 {
				tb.Errorf("Harness.Prewarms is false, and the scheduler asks for %+v", w.prewarm)
			}
			return
		}
		if w.asked() != "b" {
			tb.Fatalf("1.5 s before b is expected, whose cold start takes 2 s, %q was asked for", w.asked())
		}
		p := w.prewarm[0]
		if p.Function.Name != "b" || p.Execution != a.Execution || p.Why == "" {
			tb.Errorf("it does not say what for: %+v", p)
		}
		if off := p.Expected.Sub(begin.Add(10 * time.Second)).Abs(); off > time.Second {
			tb.Errorf("b is expected at %v, %v off", p.Expected, off)
		}
		w.finish()
		w.settle()
		if w.asked() != "b" {
			tb.Errorf("asked for %q, want b once", w.asked())
		}
	}},
	{Name: "prewarm/nothing-that-starts-fast", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := newWorld(tb, h, Limits{})
		l := w.learner()
		observe(l, workflowOf(0), "a", time.Second, time.Second)
		observe(l, workflowOf(0), "b", time.Second, 0)
		l.Describe(workflowOf(0), &workflow.Graph{Nodes: nodes("a", "b"), Edges: []workflow.Edge{{From: "a", To: "b"}}})
		w.play("x", []string{"a", "b"}, time.Minute, time.Minute)
		if w.asked() != "" {
			tb.Errorf("a function that never had a cold start is prewarmed: %+v", w.prewarm)
		}
	}},
	{Name: "prewarm/two-steps-ahead", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := newWorld(tb, h, Limits{})
		l := w.learner()
		for _, node := range []string{"a", "b"} {
			observe(l, workflowOf(0), node, time.Second, 0)
		}
		observe(l, workflowOf(0), "c", time.Second, 1500*time.Millisecond)
		l.Describe(workflowOf(0), &workflow.Graph{Nodes: nodes("a", "b", "c"), Edges: []workflow.Edge{{From: "a", To: "b"}, {From: "b", To: "c"}}})
		w.ready(w.at(workflowOf(0), "x", "a"))
		w.sleep(900 * time.Millisecond)
		if w.asked() != "c" {
			tb.Errorf("c is expected in 1.1 s and takes 1.5 s to start; asked for %q", w.asked())
		}
	}},
	{Name: "prewarm/joins-wait-for-the-last", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := newWorld(tb, h, Limits{})
		l := w.learner()
		observe(l, workflowOf(0), "a", 4*time.Second, 0)
		observe(l, workflowOf(0), "b", 10*time.Second, 0)
		observe(l, workflowOf(0), "c", time.Second, 2*time.Second)
		l.Describe(workflowOf(0), &workflow.Graph{Nodes: nodes("a", "b", "c"), Edges: []workflow.Edge{{From: "a", To: "c"}, {From: "b", To: "c"}}})
		a, b := w.at(workflowOf(0), "x", "a"), w.at(workflowOf(0), "x", "b")
		w.ready(b, a)
		w.sleep(4 * time.Second)
		w.done(a, workflow.StepRecord{Run: 4 * time.Second})
		w.sleep(2 * time.Second)
		if w.asked() != "" {
			tb.Errorf("c waits for b, which runs for another 4 s; asked for %q", w.asked())
		}
		w.sleep(3 * time.Second)
		if w.asked() != "c" {
			tb.Errorf("c is expected in 1 s; asked for %q", w.asked())
		}
	}},
	{Name: "prewarm/once-for-many-steps", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := chain(tb, h)
		for range 20 {
			w.ready(w.at(workflowOf(0), "x", "a"))
			w.sleep(time.Millisecond)
		}
		w.sleep(time.Hour)
		if w.asked() != "b" {
			tb.Errorf("asked for %q, want b once", w.asked())
		}
	}},
	{Name: "prewarm/not-what-has-come", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := chain(tb, h)
		a, b := w.at(workflowOf(0), "x", "a"), w.at(workflowOf(0), "x", "b")
		w.ready(a)
		w.sleep(time.Second) // and not 10
		w.ready(b)
		w.done(a, workflow.StepRecord{Run: time.Second})
		w.sleep(time.Hour)
		if w.asked() != "" {
			tb.Errorf("b has come and is prewarmed: %+v", w.prewarm)
		}
	}},
	{Name: "prewarm/not-after-the-end", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := chain(tb, h)
		a := w.at(workflowOf(0), "x", "a")
		w.ready(a)
		w.sleep(5 * time.Second)
		w.ended(a.Execution)
		w.sleep(time.Hour)
		if w.asked() != "" {
			tb.Errorf("the execution has ended and b is prewarmed: %+v", w.prewarm)
		}
	}},
	{Name: "prewarm/not-what-a-choice-made-unnecessary", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := branches(tb, h)
		a, b := w.at(workflowOf(0), "x", "a"), w.at(workflowOf(0), "x", "b")
		w.ready(a)
		w.sleep(time.Second)
		w.done(a, workflow.StepRecord{Run: time.Second})
		w.ready(b)
		w.sleep(10 * time.Second)
		if w.asked() != "d" {
			tb.Errorf("the choice went to b, so d is needed and e is not; asked for %q", w.asked())
		}
	}},
	{Name: "prewarm/choices-are-learned", Check: func(tb testing.TB, h Harness) {
		h.prewarms(tb)
		w := branches(tb, h)
		l := w.learner()
		for _, node := range []string{"b", "c"} { // cold starts that must begin before the choice
			for range 100 {
				l.Observe(workflow.StepRecord{Workflow: workflowOf(0), Node: node, Function: faas.Ref{Namespace: "default", Name: node}, Run: 10500 * time.Millisecond, Cold: 500 * time.Millisecond})
			}
		}
		for i := range 30 {
			w.play(fmt.Sprint("before-", i), []string{"a", "c", "e"}, time.Second, 10*time.Second, time.Second)
		}
		w.prewarm = nil
		w.ready(w.at(workflowOf(0), "x", "a"))
		w.sleep(900 * time.Millisecond)
		if w.asked() != "c" {
			tb.Errorf("30 times the choice went to c; asked for %q", w.asked())
		}
	}},
}
