// Package history shows executions to people (W4 of the SPEC-RG reference architecture, read-only):
// what a log says of each node, the definition's or the execution's graph as Mermaid or SVG, a
// table of events, and an export that can be read back.
//
// # Snippet
//
//	events, err := history.Events(ctx, eng, ref) // the whole log
//	run := history.Summarize(events)
//	err = history.SVG(w, graph, run) // graph from a workflow.Grapher, or run.Graph()
//	err = history.Table(os.Stdout, events)
//
// # Errors
//
// Those of the engine, of the writer, and ErrCorrupt for an export that cannot be read.
//
// # Concurrency
//
// Functions are pure but for their readers and writers.
package history

import (
	"context"
	"slices"
	"time"

	"github.com/joinery/faas/workflow"
)

// Source is where a log comes from: any workflow.Engine.
type Source interface {
	History(ctx context.Context, ref workflow.ExecutionRef, q workflow.HistoryQuery) (workflow.HistoryPage, error)
}

// Events reads the whole log of an execution, page by page. Errors: those of Engine.History.
func Events(ctx context.Context, src Source, ref workflow.ExecutionRef) ([]workflow.Event, error) {
	var all []workflow.Event
	q := workflow.HistoryQuery{Limit: workflow.MaxPage}
	for {
		page, err := src.History(ctx, ref, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if page.Next == "" {
			return all, nil
		}
		q.Token = page.Next
	}
}

// State is where a node stands.
type State string

// The states.
const (
	// Pending: nothing of it is in the log.
	Pending State = "pending"
	// Running: a step of it is open.
	Running State = "running"
	// Retrying: an attempt failed and another follows.
	Retrying State = "retrying"
	// Succeeded: every step of it succeeded.
	Succeeded State = "succeeded"
	// Failed: a step of it failed.
	Failed State = "failed"
)

// Node is what a log says of one node of a definition, over all steps that ran there.
type Node struct {
	Name  string
	State State
	// Steps, SucceededSteps and FailedSteps count steps; Attempts counts their attempts.
	Steps, SucceededSteps, FailedSteps, Attempts int
	// Began is when the first step's first known attempt began, Ended when the last step ended.
	Began, Ended time.Time
	// Busy is the time of all attempts together, Cold the part of it that was cold starts.
	Busy, Cold time.Duration
	// Failure is the last one.
	Failure *workflow.Failure
}

// Run is what a log says of an execution.
type Run struct {
	// Status is where the execution stands: running unless the log is closed.
	Status workflow.Status
	// Started and Ended bound what the log covers.
	Started, Ended time.Time
	// Nodes are in the order in which they first appear.
	Nodes []*Node
	// Failure is how the execution ended, if not well.
	Failure *workflow.Failure

	byName map[string]*Node
}

// Node returns what the log says of a node; one that it does not mention is Pending.
func (r *Run) Node(name string) *Node {
	if n, ok := r.byName[name]; ok {
		return n
	}
	return &Node{Name: name, State: Pending}
}

func (r *Run) node(name string) *Node {
	n, ok := r.byName[name]
	if !ok {
		n = &Node{Name: name, State: Pending}
		r.byName[name] = n
		r.Nodes = append(r.Nodes, n)
	}
	return n
}

// Summarize says what the events of one log, in order, tell of each node. What a redrive undid does not count.
func Summarize(events []workflow.Event) *Run {
	r := &Run{Status: workflow.StatusRunning, byName: map[string]*Node{}}
	var undone []uint64
	for i := range events {
		undone = append(undone, events[i].Undone...)
	}
	slices.Sort(undone)
	for i := range events {
		e := &events[i]
		if r.Started.IsZero() {
			r.Started = e.Time
		}
		r.Ended = e.Time
		if _, ok := slices.BinarySearch(undone, e.Seq); !ok {
			r.add(e)
		}
	}
	return r
}

func (r *Run) add(e *workflow.Event) {
	switch {
	case e.Kind.Closes():
		r.Status, r.Failure = e.Kind.Status(), e.Failure
		return
	case e.Kind == workflow.ExecutionSuspended:
		r.Status = workflow.StatusSuspended
		return
	case e.Kind == workflow.ExecutionResumed, e.Kind == workflow.ExecutionRedriven:
		r.Status, r.Failure = workflow.StatusRunning, nil
		return
	case e.Step == "" || e.Kind == workflow.SignalReceived:
		return
	}
	n := r.node(nodeOf(e))
	if e.Kind == workflow.StepRetrying {
		n.Attempts++
	} else {
		n.Steps++
		n.Attempts += min(1, e.Attempt)
	}
	if !e.Began.IsZero() {
		if n.Began.IsZero() || e.Began.Before(n.Began) {
			n.Began = e.Began
		}
		n.Busy += e.Time.Sub(e.Began)
	}
	n.Ended = e.Time
	n.Cold += e.Cold
	switch e.Kind {
	case workflow.StepRetrying:
		n.State, n.Failure = Retrying, e.Failure
	case workflow.StepFailed:
		n.FailedSteps++
		n.State, n.Failure = Failed, e.Failure
	case workflow.StepSucceeded:
		n.SucceededSteps++
		if n.State = Succeeded; n.FailedSteps > 0 {
			n.State = Failed
		}
	}
}

func nodeOf(e *workflow.Event) string {
	if e.Node != "" {
		return e.Node
	}
	return e.Step
}

// Open marks the nodes of open steps as Running, from Explainer.Explain: a log holds outcomes only.
func (r *Run) Open(steps []workflow.OpenStep) {
	for _, s := range steps {
		name := s.Node
		if name == "" {
			name = s.Step
		}
		if n := r.node(name); n.State != Retrying {
			n.State = Running
		}
	}
}

// Graph is a graph of the execution itself, for languages whose definitions have none:
// one node for each that appears, and an edge from each to those that began
// after it had ended, leaving out what follows from other edges.
func (r *Run) Graph() *workflow.Graph {
	g := &workflow.Graph{}
	for _, n := range r.Nodes {
		g.Nodes = append(g.Nodes, workflow.Node{Name: n.Name, Kind: "step"})
	}
	before := func(a, b *Node) bool {
		began := b.Began
		if began.IsZero() {
			began = b.Ended
		}
		return a != b && !a.Ended.IsZero() && !a.Ended.After(began) && (a.Ended != b.Ended || r.index(a) < r.index(b))
	}
	for _, b := range r.Nodes {
		for _, a := range r.Nodes {
			if before(a, b) && !slices.ContainsFunc(r.Nodes, func(c *Node) bool { return before(a, c) && before(c, b) }) {
				g.Edges = append(g.Edges, workflow.Edge{From: a.Name, To: b.Name})
			}
		}
	}
	return g
}

func (r *Run) index(n *Node) int { return slices.Index(r.Nodes, n) }
