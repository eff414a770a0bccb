package schedulertest

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// learner skips a scheduler that is not one.
func (w *world) learner() workflow.Learner {
	w.tb.Helper()
	l, ok := w.s.(workflow.Learner)
	if !ok {
		w.tb.Skip("the scheduler is not a workflow.Learner")
	}
	return l
}

// at returns a step of a node of an execution of a workflow; the function has the node's name.
func (w *world) at(flow faas.Ref, execution, node string) *workflow.ReadyStep {
	return w.step(func(s *workflow.ReadyStep) {
		s.Workflow, s.Node, s.Function = flow, node, faas.Ref{Namespace: "default", Name: node}
		s.Execution.ID = execution
	})
}

func nodes(names ...string) (all []workflow.Node) {
	for _, name := range names {
		all = append(all, workflow.Node{Name: name, Kind: "call", Function: faas.Ref{Namespace: "default", Name: name}})
	}
	return all
}

var learnerClauses = []clause{
	{Name: "learner/strange-graphs", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 2})
		l := w.learner()
		chain := &workflow.Graph{}
		for i := range 3000 {
			chain.Nodes = append(chain.Nodes, nodes(fmt.Sprint("n-", i))...)
			chain.Edges = append(chain.Edges, workflow.Edge{From: fmt.Sprint("n-", i), To: fmt.Sprint("n-", i+1), Choice: i%3 == 0})
		}
		for i, g := range []*workflow.Graph{
			{},
			{Nodes: nodes("n-0"), Edges: []workflow.Edge{{From: "n-0", To: "n-0"}, {From: "n-0", To: "n-0", Choice: true}}},
			{Nodes: nodes("n-0", "n-1"), Edges: []workflow.Edge{{From: "n-0", To: "n-1"}, {From: "n-1", To: "n-0", Choice: true}, {From: "n-1", To: "nowhere"}, {From: "nowhere", To: "n-0"}}},
			{Nodes: nodes("n-0", "n-1", "n-0", ""), Edges: []workflow.Edge{{From: "n-0", To: "n-1", Choice: true}, {From: "n-0", To: "n-1", Choice: true}}},
			{Nodes: []workflow.Node{{Name: "n-0", Group: "n-1"}, {Name: "n-1", Group: "n-0"}, {Name: "n-2", Group: "n-2"}, {Name: "n-3", Group: "nowhere"}}},
			chain,
		} {
			flow := workflowOf(i)
			l.Describe(flow, g)
			l.Describe(flow, g)
			for round := range 3 {
				id := fmt.Sprint(i, "-", round)
				for _, node := range []string{"n-0", "n-1", "n-0", "elsewhere", ""} {
					w.ready(w.at(flow, id, node))
				}
				for len(w.waiting)+len(w.running) > 0 {
					w.sleep(time.Second)
					for s := range w.running {
						w.done(s, workflow.StepRecord{Run: time.Second, Cold: time.Millisecond})
						break
					}
				}
				w.ended(workflow.ExecutionRef{Namespace: "default", ID: id, Run: 1})
			}
		}
		w.finish()
	}},
	{Name: "learner/strange-records", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		l := w.learner()
		l.Describe(workflowOf(0), &workflow.Graph{Nodes: nodes("a", "b"), Edges: []workflow.Edge{{From: "a", To: "b"}}})
		for _, run := range []time.Duration{0, -1, 1, math.MinInt64, math.MaxInt64} {
			for _, cold := range []time.Duration{0, -1, 1, math.MinInt64, math.MaxInt64} {
				for _, node := range []string{"a", "b", "", "elsewhere"} {
					l.Observe(workflow.StepRecord{Workflow: workflowOf(0), Node: node, Function: faas.Ref{Namespace: "default", Name: node}, Run: run, Cold: cold})
					l.Observe(workflow.StepRecord{Workflow: workflowOf(1), Node: node, Run: run, Cold: cold, Failed: true, Attempt: -1})
				}
			}
		}
		l.Observe(workflow.StepRecord{})
		for i := range 10 {
			w.ready(w.at(workflowOf(0), fmt.Sprint(i), "a"), w.at(workflowOf(0), fmt.Sprint(i), "b"))
		}
		w.finish()
	}},
	{Name: "learner/unknown-and-repeated-ends", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		w.learner()
		s, other := w.step(nil), w.step(nil)
		w.ready(s, other)
		w.ended(workflow.ExecutionRef{Namespace: "default", ID: "unknown", Run: 1})
		w.ended(s.Execution) // its call is still under way
		w.ended(s.Execution)
		w.done(s, workflow.StepRecord{})
		w.finish()
	}},
	{Name: "learner/memory-is-bounded", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{})
		l := w.learner()
		grow := func(from, to int) uint64 {
			for i := from; i < to; i++ {
				l.Observe(workflow.StepRecord{Workflow: workflowOf(i), Node: fmt.Sprint("n-", i), Function: functionOf(i), Run: time.Second, Cold: time.Second})
				if i%50 == 0 {
					l.Describe(workflowOf(i), &workflow.Graph{Nodes: nodes("a", "b")})
					s := w.at(workflowOf(i), fmt.Sprint(i), "a")
					w.ready(s)
					w.done(s, workflow.StepRecord{})
					w.ended(s.Execution)
					w.order, w.gone = nil, map[*workflow.ReadyStep]string{}
					w.log.Reset()
				}
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := grow(0, 12_000)
		if after := grow(12_000, 24_000); after > before+4<<20 {
			tb.Errorf("12,000 more workflows, nodes and functions that nothing uses any more take %d MB", (after-before)>>20)
		}
		runtime.KeepAlive(w)
	}},
}
