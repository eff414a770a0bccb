package criticalpath

import (
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// plan is a workflow version's graph with what follows from history: how long the way from each
// node to the end is, and what follows each node soon. Both are computed anew when as many
// records came as there are nodes, so that they follow history for a constant price per record.
type plan struct {
	workflow faas.Ref // without version
	index    map[string]int
	nodes    []planNode
	records  int // since it was computed
	computed bool
}

type planNode struct {
	name     string
	function faas.Ref
	next     []int // what may follow; Choice edges first
	choices  int   // how many of next are Choice edges

	run     time.Duration // the median
	soonest time.Duration // the 10th percentile, rounded down: what follows may be needed then
	rank    time.Duration
	state   uint8     // of the depth-first walk
	p       []float64 // of the Choice edges
	soon    []target
	taken   map[int]int // by call that follows through a choice of this node: see branchOf
}

// target is a call that follows a node.
type target struct {
	node        int
	after       time.Duration // from the end of the node to the start of the target
	probability float64
}

// ahead bounds how many nodes are looked at for what follows a node.
const ahead = 64

func newPlan(ref faas.Ref, g *workflow.Graph) *plan {
	p := &plan{workflow: ref.Unversioned(), index: make(map[string]int, len(g.Nodes))}
	for _, n := range g.Nodes {
		if _, twice := p.index[n.Name]; !twice {
			p.index[n.Name] = len(p.nodes)
			p.nodes = append(p.nodes, planNode{name: n.Name, function: n.Function})
		}
	}
	link := func(from, to int) { p.nodes[from].next = append(p.nodes[from].next, to) }
	for _, choice := range []bool{true, false} {
		for _, e := range g.Edges {
			from, ok1 := p.index[e.From]
			to, ok2 := p.index[e.To]
			if !ok1 || !ok2 || e.Choice != choice {
				continue
			}
			link(from, to)
			if choice {
				p.nodes[from].choices++
			}
		}
	}
	p.linkGroups(g, link)
	return p
}

// linkGroups leads from a group to its first nodes, and from its last ones to what follows the group.
func (p *plan) linkGroups(g *workflow.Graph, link func(from, to int)) {
	group := make([]int, len(p.nodes))
	for i := range group {
		group[i] = -1
	}
	for _, n := range g.Nodes {
		if of, ok := p.index[n.Group]; ok && n.Group != "" && n.Group != n.Name {
			group[p.index[n.Name]] = of
		}
	}
	entered, left := make([]bool, len(p.nodes)), make([]bool, len(p.nodes))
	for i := range p.nodes {
		for _, to := range p.nodes[i].next {
			if group[i] >= 0 && group[i] == group[to] {
				left[i], entered[to] = true, true
			}
		}
	}
	for i, of := range group {
		if of < 0 {
			continue
		}
		if !entered[i] {
			link(of, i)
		}
		if !left[i] {
			for _, to := range p.nodes[of].next {
				if group[to] != of {
					link(i, to)
				}
			}
		}
	}
}

// refresh computes the plan anew if it is due.
func (p *plan) refresh(h *history) {
	if p.computed && p.records < len(p.nodes) {
		return
	}
	p.computed, p.records = true, 0
	for i := range p.nodes {
		n := &p.nodes[i]
		n.run, n.soonest, n.state, n.p = 0, 0, 0, nil
		if n.function.Name != "" || h.nodes.get(nodeKey{p.workflow, n.name}) != nil {
			runs := h.runs(nodeKey{p.workflow, n.name}, n.function)
			n.run = runs.p50()
			n.soonest, _ = runs.bounds(0.1)
		}
		if n.choices > 0 {
			to := make([]string, n.choices)
			for j := range to {
				to[j] = p.nodes[n.next[j]].name
			}
			n.p = h.probabilities(nodeKey{p.workflow, n.name}, to)
		}
	}
	var longest time.Duration
	for i := range p.nodes {
		p.setRank(i)
		if cold, _ := h.cold(p.nodes[i].function); cold > longest {
			longest = cold
		}
	}
	for i := range p.nodes {
		p.lookAhead(i, longest)
	}
}

// setRank computes the upward rank (Topcuoglu, Hariri and Wu, HEFT, IEEE TPDS 2002): the node's own run
// and the longest way that follows; of Choice edges the expected one. An edge that leads back is ignored.
func (p *plan) setRank(i int) time.Duration {
	n := &p.nodes[i]
	if n.state != 0 { // done, or under way: an edge back
		return n.rank
	}
	n.state, n.rank = 1, 0
	var longest, expected time.Duration
	for j, to := range n.next {
		if j < n.choices {
			expected += time.Duration(n.p[j] * float64(p.setRank(to)))
		} else {
			longest = max(longest, p.setRank(to))
		}
	}
	n.rank = n.run + max(longest, expected)
	return n.rank
}

// lookAhead finds the calls that start so soon after a node that a cold start of this length has to begin
// before, and in any case those that follow at once.
func (p *plan) lookAhead(i int, cold time.Duration) {
	n := &p.nodes[i]
	n.soon = n.soon[:0]
	type place struct {
		node        int
		after       time.Duration
		probability float64
	}
	queue := []place{{i, 0, 1}}
	seen := map[int]bool{i: true}
	for at := 0; at < len(queue) && len(queue) < ahead; at++ {
		here := queue[at]
		from := &p.nodes[here.node]
		for j, to := range from.next {
			there := place{to, here.after, here.probability}
			if here.node != i {
				there.after += from.soonest
			}
			if j < from.choices {
				there.probability *= from.p[j]
			}
			if seen[to] || there.after > cold {
				continue
			}
			seen[to] = true
			queue = append(queue, there)
			if p.nodes[to].function.Name != "" {
				n.soon = append(n.soon, target(there))
			}
		}
	}
}

// branchOf returns the Choice edge of node i, as an index into next, by which alone the call node follows
// without another call between; -1 if there is none or more than one.
func (p *plan) branchOf(i, call int) int {
	n := &p.nodes[i]
	if n.taken == nil {
		n.taken = map[int]int{}
		for j := range n.choices {
			for _, v := range p.firstCalls(n.next[j]) {
				if n.taken[v] == 0 {
					n.taken[v] = j + 1
				} else {
					n.taken[v] = -1
				}
			}
		}
	}
	return max(n.taken[call], 0) - 1
}

// firstCalls returns the calls that follow a node, itself included, without another call between.
func (p *plan) firstCalls(i int) (calls []int) {
	seen := map[int]bool{i: true}
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		n := &p.nodes[queue[0]]
		if n.function.Name != "" {
			calls = append(calls, queue[0])
			continue
		}
		for _, to := range n.next {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return calls
}
