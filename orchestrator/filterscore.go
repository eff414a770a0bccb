package orchestrator

import (
	"fmt"

	"github.com/joinery/faas"
)

// FilterScore is the shape that the schedulers of this layer share: every filter
// must let a node pass, then the node with the greatest weighted sum of scores is taken;
// among equals, the one whose name sorts first. It is a Scheduler and safe for
// concurrent use if its filters and scores are.
type FilterScore struct {
	// Filters are asked in this order; the first that rejects a node explains it.
	Filters []Filter
	// Scores are asked about nodes that passed.
	Scores []Score
}

// Filter says which nodes cannot take a workload.
type Filter struct {
	// Name begins the explanation of a rejection.
	Name string
	// Prepare looks at the problem once. The function it returns says why the node of
	// that index does not fit, "" if it does; nil rejects none. Errors: ErrInvalidArgument.
	Prepare func(p *Problem) (reject func(node int) string, err error)
}

// Score says how well a node would take a workload.
type Score struct {
	Name string
	// Weight multiplies the score.
	Weight float64
	// Prepare looks at the problem once, after all filters. The function it returns
	// gives the score of the node of that index, the higher the better; nil is 0 for all.
	Prepare func(p *Problem) (of func(node int) float64, err error)
}

// Problem is one placement to decide. Filters and scores read it and change nothing.
type Problem struct {
	Workload *Workload
	Nodes    []NodeState

	peers    []int
	verdicts []Verdict
}

// Peers returns, for each node, how many others of the workload's group are placed on
// it. A workload without a group has none.
func (p *Problem) Peers() []int {
	if p.peers != nil {
		return p.peers
	}
	p.peers = make([]int, len(p.Nodes))
	if p.Workload.Group == "" {
		return p.peers
	}
	for i := range p.Nodes {
		for k := range p.Nodes[i].Workloads {
			if other := &p.Nodes[i].Workloads[k]; other.Group == p.Workload.Group && other.ID != p.Workload.ID {
				p.peers[i]++
			}
		}
	}
	return p.peers
}

// Fits reports whether every filter asked so far let the node of that index pass.
func (p *Problem) Fits(node int) bool { return p.verdicts[node].Rejected == "" }

// Place implements Scheduler.
func (s *FilterScore) Place(w Workload, nodes []NodeState) (Placement, error) {
	const op = "place"
	placement := Placement{Verdicts: make([]Verdict, len(nodes))}
	p := &Problem{Workload: &w, Nodes: nodes, verdicts: placement.Verdicts}
	for i := range nodes {
		placement.Verdicts[i].Node = nodes[i].Name
	}
	refuse := func(name string, err error) (Placement, error) {
		for i := range placement.Verdicts {
			placement.Verdicts[i] = Verdict{Node: nodes[i].Name, Rejected: name + ": " + err.Error()}
		}
		return placement, &faas.Error{Component: "resource scheduler", Op: op, Key: w.ID, Class: faas.Class(err), Err: err}
	}
	for _, f := range s.Filters {
		reject, err := f.Prepare(p)
		if err != nil {
			return refuse(f.Name, err)
		}
		if reject == nil {
			continue
		}
		for i := range nodes {
			if !p.Fits(i) {
				continue
			}
			if why := reject(i); why != "" {
				placement.Verdicts[i].Rejected = f.Name + ": " + why
			}
		}
	}
	for _, sc := range s.Scores {
		of, err := sc.Prepare(p)
		if err != nil {
			return refuse(sc.Name, err)
		}
		if of == nil {
			continue
		}
		for i := range nodes {
			if p.Fits(i) {
				placement.Verdicts[i].Score += sc.Weight * of(i)
			}
		}
	}
	best := -1
	for i := range placement.Verdicts {
		v := &placement.Verdicts[i]
		if v.Rejected != "" {
			continue
		}
		if best < 0 || v.Score > placement.Verdicts[best].Score ||
			v.Score == placement.Verdicts[best].Score && v.Node < placement.Verdicts[best].Node {
			best = i
		}
	}
	if best < 0 {
		err := faas.Errorf("resource scheduler", op, w.ID, faas.ErrExhausted, "%s", placement.Reason())
		if len(nodes) == 0 {
			err.Err = fmt.Errorf("there is no node")
		}
		err.Next = "wait until something is stopped, add a node, or ask for less"
		return placement, err
	}
	placement.Node = nodes[best].Name
	return placement, nil
}
