// Package spread is the resource scheduler (R3 of the SPEC-RG reference
// architecture) that keeps instances apart: a workload goes to the node with the
// fewest others of its group and, among equals, to the one that is least allocated. So
// the loss of one node costs a function the least.
//
// # Snippet
//
//	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
package spread

import "github.com/joinery/faas/orchestrator"

// New returns the scheduler. Its filters and scores may be added to before it is used.
func New() *orchestrator.FilterScore {
	return &orchestrator.FilterScore{
		Filters: orchestrator.StandardFilters(),
		Scores: []orchestrator.Score{
			orchestrator.ConstraintScore(),
			{Name: "apart", Weight: 1, Prepare: apart},
			// Half the weight of one peer, so that a peer more never wins.
			{Name: "least allocated", Weight: 0.5, Prepare: leastAllocated},
		},
	}
}

func apart(p *orchestrator.Problem) (func(int) float64, error) {
	peers := p.Peers()
	return func(node int) float64 { return -float64(peers[node]) }, nil
}

func leastAllocated(p *orchestrator.Problem) (func(int) float64, error) {
	return func(node int) float64 { return 1 - orchestrator.Allocated(&p.Nodes[node], p.Workload) }, nil
}
