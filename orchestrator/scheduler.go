package orchestrator

import (
	"fmt"
	"strings"

	"github.com/joinery/faas"
)

// Scheduler (R3) decides on which node a workload is placed so that the current
// state converges to the desired one most efficiently. It is a pure function:
// the same arguments give the same placement, so a decision can be explained, tested
// and replayed. It does not keep or change its arguments.
type Scheduler interface {
	// Place chooses one of the nodes. Errors: ErrExhausted when none fits now (more
	// capacity may help), ErrInvalidArgument when a constraint is not valid. The placement
	// is returned with an error too: it explains it node by node.
	Place(w Workload, nodes []NodeState) (Placement, error)
}

// Placement is a scheduler's decision and its explanation.
type Placement struct {
	// Node is the chosen node's name; empty when there is none.
	Node string
	// Verdicts has one entry for each node, in the order given.
	Verdicts []Verdict
}

// Verdict is what was found about one node.
type Verdict struct {
	Node string
	// Rejected says why the node does not fit: the filter's name and reason. Empty: it fits.
	Rejected string
	// Score is the weighted sum of all scores, of a node that fits.
	Score float64
}

// Reason is the explanation in one line.
func (p Placement) Reason() string {
	var b strings.Builder
	if p.Node == "" {
		b.WriteString("no node fits")
	} else {
		fmt.Fprintf(&b, "placed on %s", p.Node)
	}
	const most = 8
	for i, v := range p.Verdicts {
		if i == most {
			fmt.Fprintf(&b, "; and %d more nodes", len(p.Verdicts)-most)
			break
		}
		if v.Rejected != "" {
			fmt.Fprintf(&b, "; %s: %s", v.Node, v.Rejected)
		} else {
			fmt.Fprintf(&b, "; %s: score %.3g", v.Node, v.Score)
		}
	}
	return b.String()
}

// Fits reports whether the node's free capacity takes the request; why not otherwise.
func Fits(request faas.Resources, n *NodeState) (ok bool, why string) {
	for _, r := range [...]struct {
		name                 string
		want, capacity, used int64
	}{
		{"cpu (milli)", request.MilliCPU, n.Capacity.MilliCPU, n.Used.MilliCPU},
		{"memory", request.Memory, n.Capacity.Memory, n.Used.Memory},
		{"pids", request.Pids, n.Capacity.Pids, n.Used.Pids},
	} {
		if r.want > 0 && r.capacity > 0 && r.want > r.capacity-r.used {
			return false, fmt.Sprintf("%s: wants %d, free %d of %d", r.name, r.want, max(r.capacity-r.used, 0), r.capacity)
		}
	}
	return true, ""
}
