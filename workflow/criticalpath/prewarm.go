package criticalpath

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"github.com/joinery/faas/workflow"
)

// execution is what is known of one that is open.
type execution struct {
	ref    workflow.ExecutionRef
	number uint64 // in the order they came
	plan   *plan  // nil if its workflow was not described
	began  time.Time
	clock  int // counts starts and arrivals
	nodes  map[int]*nodeState
	wants  map[int]*want // by node
	open   []int         // nodes that ended and whose Choice edges were not yet told
}

// nodeState is where a node of an execution stands.
type nodeState struct {
	running int
	started int // the execution's clock at the last start
	ready   int // and at the last arrival
}

// want is a planned prewarm: a call that is expected.
type want struct {
	x        *execution
	node     int
	from     []source
	expected time.Time
	at       time.Time // when to ask; zero once asked
	sure     float64   // its probability
	place    int       // in the heap; -1 if not there
}

// source is a node whose end the call is expected after.
type source struct {
	node   int
	ended  bool
	starts time.Time // the call, as the node sees it
	sure   float64
}

func (x *execution) state(node int) *nodeState {
	n := x.nodes[node]
	if n == nil {
		n = &nodeState{}
		if x.nodes == nil {
			x.nodes, x.wants = map[int]*nodeState{}, map[int]*want{}
		}
		x.nodes[node] = n
	}
	return n
}

// arrived says that a call of the node is ready: it is no longer to be expected, and a choice may be told by it.
func (s *Scheduler) arrived(x *execution, node int) {
	x.clock++
	x.state(node).ready = x.clock
	if w := x.wants[node]; w != nil {
		s.drop(w)
	}
	for i := 0; i < len(x.open); i++ {
		from := x.open[i]
		edge := x.plan.branchOf(from, node)
		if edge < 0 {
			continue
		}
		s.history.chose(edgeKey{nodeKey{x.plan.workflow, x.plan.nodes[from].name}, x.plan.nodes[x.plan.nodes[from].next[edge]].name})
		x.open = slices.Delete(x.open, i, i+1)
		i--
		s.unneeded(x, from, edge)
	}
}

// unneeded drops what is expected behind the Choice edges that were not taken, unless it follows otherwise too.
func (s *Scheduler) unneeded(x *execution, from, taken int) {
	follows := map[int]bool{}
	for j, to := range x.plan.nodes[from].next {
		if j == taken || j >= x.plan.nodes[from].choices {
			x.plan.reach(to, follows)
		}
	}
	for node, state := range x.nodes {
		if state.running > 0 {
			x.plan.reach(node, follows)
		}
	}
	others := map[int]bool{}
	for j := range x.plan.nodes[from].choices {
		if j != taken {
			x.plan.reach(x.plan.nodes[from].next[j], others)
		}
	}
	for node, w := range x.wants {
		if others[node] && !follows[node] {
			s.drop(w)
		}
	}
}

// reach adds a node and what follows it.
func (p *plan) reach(i int, seen map[int]bool) {
	if seen[i] {
		return
	}
	seen[i] = true
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		for _, to := range p.nodes[queue[0]].next {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
}

// started says that a step of the node runs.
func (s *Scheduler) started(now time.Time, x *execution, node int) {
	x.clock++
	state := x.state(node)
	state.running++
	state.started = x.clock
	s.expect(x, node, now.Add(x.plan.nodes[node].soonest), false)
}

// ended says that a step of the node has ended.
func (s *Scheduler) ended(now time.Time, x *execution, node int, failed bool) {
	state := x.state(node)
	if state.running--; state.running > 0 || failed {
		return
	}
	s.expect(x, node, now, true)
	x.plan.choicesAfter(node, func(choice int) {
		if !slices.Contains(x.open, choice) {
			x.open = append(x.open, choice)
		}
	})
}

// closed forgets an execution. A choice that no call told went the way without calls, if there is one such way.
func (s *Scheduler) closed(x *execution) {
	for _, w := range x.wants {
		s.drop(w)
	}
	for _, from := range x.open {
		n, silent := &x.plan.nodes[from], -1
		for j := range n.choices {
			if len(x.plan.firstCalls(n.next[j])) > 0 {
				continue
			}
			if silent >= 0 {
				silent = -1
				break
			}
			silent = j
		}
		if silent >= 0 {
			s.history.chose(edgeKey{nodeKey{x.plan.workflow, n.name}, x.plan.nodes[n.next[silent]].name})
		}
	}
}

// choicesAfter calls f for the nodes with Choice edges that follow without a call between, the node itself included.
func (p *plan) choicesAfter(i int, f func(node int)) {
	seen := map[int]bool{i: true}
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		n := &p.nodes[queue[0]]
		if n.choices > 0 {
			f(queue[0])
		}
		for _, to := range n.next {
			if !seen[to] && p.nodes[to].function.Name == "" {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
}

// expect plans the prewarms of what follows a node that ends at a time.
func (s *Scheduler) expect(x *execution, node int, end time.Time, ended bool) {
	from := x.nodes[node]
	for _, t := range x.plan.nodes[node].soon {
		state := x.nodes[t.node]
		if state != nil && state.ready > from.started { // it has come since
			continue
		}
		w := x.wants[t.node]
		if w == nil {
			if cold, _ := s.history.cold(x.plan.nodes[t.node].function); cold == 0 {
				continue
			}
			w = &want{x: x, node: t.node, place: -1}
			x.wants[t.node] = w
			w.at = end // any that is not zero: not asked
		}
		w.hear(source{node, ended, end.Add(t.after), t.probability})
		s.replan(w)
	}
}

// hear notes what a source says of the call's start.
func (w *want) hear(from source) {
	for i := range w.from {
		if w.from[i].node == from.node {
			w.from[i] = from
			return
		}
	}
	w.from = append(w.from, from)
}

// replan computes when a call is expected: when all that runs before it will have ended; what ended before counts
// only if nothing runs.
func (s *Scheduler) replan(w *want) {
	running := false
	for _, f := range w.from {
		running = running || !f.ended
	}
	w.expected, w.sure = time.Time{}, 0
	for _, f := range w.from {
		if f.ended && running {
			continue
		}
		if f.starts.After(w.expected) {
			w.expected = f.starts
		}
		w.sure = max(w.sure, f.sure)
	}
	if w.at.IsZero() {
		return // asked
	}
	cold, _ := s.history.cold(w.x.plan.nodes[w.node].function)
	w.at = w.expected.Add(-cold)
	switch wanted := w.sure >= s.sure; {
	case wanted && w.place < 0:
		heap.Push(&s.wants, w)
	case wanted:
		heap.Fix(&s.wants, w.place)
	case w.place >= 0:
		heap.Remove(&s.wants, w.place)
	}
}

func (s *Scheduler) drop(w *want) {
	delete(w.x.wants, w.node)
	if w.place >= 0 {
		heap.Remove(&s.wants, w.place)
	}
}

// prewarm asks for what is due and returns when the next is.
func (s *Scheduler) prewarm(now time.Time, d *workflow.Decision) time.Time {
	for len(s.wants) > 0 {
		w := s.wants[0]
		if w.at.After(now) {
			return w.at
		}
		heap.Pop(&s.wants)
		w.at = time.Time{}
		n := &w.x.plan.nodes[w.node]
		cold, count := s.history.cold(n.function)
		d.Prewarm = append(d.Prewarm, workflow.Prewarm{
			Function: n.function, Execution: w.x.ref, Node: n.name, Expected: w.expected,
			Why: fmt.Sprintf("%s is expected in %v (%.0f %% sure), its cold start takes %v (p95 of %d)",
				n.name, max(w.expected.Sub(now), 0).Round(time.Millisecond), 100*w.sure, cold.Round(time.Millisecond), count),
		})
	}
	return time.Time{}
}

// wants is a heap by the time to ask.
type wants []*want

func (w wants) Len() int { return len(w) }
func (w wants) Less(i, j int) bool {
	if !w[i].at.Equal(w[j].at) {
		return w[i].at.Before(w[j].at)
	}
	if w[i].x != w[j].x {
		return w[i].x.number < w[j].x.number
	}
	return w[i].node < w[j].node
}
func (w wants) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}
func (w *wants) Push(v any) {
	v.(*want).place = len(*w)
	*w = append(*w, v.(*want))
}
func (w *wants) Pop() any {
	old := *w
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*w, last.place = old[:len(old)-1], -1
	return last
}
