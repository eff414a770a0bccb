package orchestrator

import (
	"context"
	"io"

	"github.com/joinery/faas"
)

// NodeAgent (R4) watches one node: it announces the node, executes what the
// resource manager assigns to it through the node's drivers, and reports. All of
// that goes through records in the naming service (see records.go), so agent and
// manager need not know each other.
type NodeAgent interface {
	// Node returns the node as announced.
	Node() Node
	// Run announces the node and reconciles until ctx ends, then returns nil after it has
	// withdrawn the announcement. Instances that run then are stopped, unless the
	// agent was configured to leave them for a successor of the same name to adopt. When it loses
	// its lease it announces the node anew, and drops what is not assigned to it any more.
	// It runs once; a second Run is ErrConflict. It returns an error only when it can never
	// work: another live agent holds the name (ErrAlreadyExists), the naming service was closed (ErrClosed).
	Run(ctx context.Context) error
}

// CodeSource is where a node agent fetches a function's archive; registry.CodeStore is one.
type CodeSource interface {
	// Open returns the content of that digest, verified: a read that would give other
	// content fails with ErrCorrupt. An unknown digest is ErrNotFound.
	Open(ctx context.Context, d faas.Digest) (io.ReadCloser, error)
}
