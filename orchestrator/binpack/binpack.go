// Package binpack is the resource scheduler (R3 of the SPEC-RG reference
// architecture) that fills nodes up: a workload goes to the node that is most allocated
// with it, measured by the dominant resource. So whole nodes stay free, for large
// workloads or to be switched off.
//
// # Snippet
//
//	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: binpack.New()})
package binpack

import "github.com/joinery/faas/orchestrator"

// New returns the scheduler. Its filters and scores may be added to before it is used.
func New() *orchestrator.FilterScore {
	return &orchestrator.FilterScore{
		Filters: orchestrator.StandardFilters(),
		Scores: []orchestrator.Score{
			orchestrator.ConstraintScore(),
			{Name: "most allocated", Weight: 1, Prepare: mostAllocated},
		},
	}
}

func mostAllocated(p *orchestrator.Problem) (func(int) float64, error) {
	return func(node int) float64 { return orchestrator.Allocated(&p.Nodes[node], p.Workload) }, nil
}
