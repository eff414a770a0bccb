package orchestrator

import (
	"context"
	"iter"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// ResourceManager (R2) makes the workloads that run conform, eventually, with those
// that are wanted. It is the whole face of the resource orchestration layer towards
// function management: a delegated layer (Kubernetes, say) implements just this.
type ResourceManager interface {
	// Apply records that the workload is wanted and returns; Watch tells what becomes
	// of it. The same workload again is nil. Errors: ErrInvalidArgument (a field breaks a
	// rule), ErrAlreadyExists (the ID is in use by a different workload, also while
	// that one is stopping).
	Apply(ctx context.Context, w Workload) error
	// Remove records that the workload is no longer wanted and returns; it is stopped
	// with its grace, and PhaseGone is its last status. Removing what is being removed is
	// nil; an unknown id is ErrNotFound.
	Remove(ctx context.Context, id string) error
	// Get returns the status of a workload, or ErrNotFound.
	Get(ctx context.Context, id string) (Status, error)
	// List returns the status of every known workload, in the order of their IDs.
	List(ctx context.Context) ([]Status, error)
	// Watch yields the status of every known workload and then each change, and blocks
	// while there is none. It ends with one error when ctx ends (ErrCanceled, ErrTimeout) or
	// the manager stops (ErrClosed). A slow reader may miss a status between two
	// others, never the last one of a workload.
	Watch(ctx context.Context) iter.Seq2[Status, error]
	// Nodes returns every known node and what is placed on it, in the order of their names.
	Nodes(ctx context.Context) ([]NodeState, error)
	// Drain sets whether the node takes new work. Draining, its workloads are moved: all are
	// stopped with their grace; then those with Restart are started elsewhere, without a
	// backoff, and the others have ended with ExitStopped. An unknown node is ErrNotFound.
	Drain(ctx context.Context, node string, draining bool) error
}

// Node is what a node agent says of its node.
type Node struct {
	// Name is unique within the cluster and valid by faas.ValidateName.
	Name string `json:"name"`
	// Capacity is what workloads may request in sum. Zero fields: none of that resource
	// is accounted for (no bound).
	Capacity faas.Resources `json:"capacity"`
	// Labels are what constraints look at: "zone", "disk", ...
	Labels map[string]string `json:"labels,omitempty"`
	// Drivers are what the node can start things with.
	Drivers []driver.Info `json:"drivers,omitempty"`
}

// NodeState is a node with what is placed on it.
type NodeState struct {
	Node
	// Draining: it takes no new work.
	Draining bool
	// Used is the sum of the requests of Workloads.
	Used faas.Resources
	// Workloads are placed on the node and not ended.
	Workloads []Placed
}

// Placed is what a scheduler needs to know of a workload on a node.
type Placed struct {
	ID    string
	Group string
}
