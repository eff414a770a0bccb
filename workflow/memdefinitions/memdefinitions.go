// Package memdefinitions is a workflow registry (W1) in memory: for tests, and for platforms
// that register their workflows at every start. What it holds ends with the process; executions do not
// need it, since each holds its definition.
//
// # Snippet
//
//	languages, err := workflow.NewLanguages(dag.Language())
//	registry, err := memdefinitions.New(languages)
//	d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "report"}, Language: "dag", Source: text}) // default/report@1
//
// # Errors
//
// Those of [workflow.Registry]. Nothing here can be corrupt or run out of space.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package memdefinitions

import (
	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/catalog"
)

// The methods of a Registry are those of the contract, and documented there.
var _ workflow.Registry = (*Registry)(nil)

type base = catalog.Catalog

// Registry is a [workflow.Registry] in memory.
type Registry struct{ *base }

// New returns an empty registry that admits definitions in these languages. ErrInvalidArgument if there are none.
func New(languages *workflow.Languages) (*Registry, error) {
	if languages == nil {
		return nil, faas.Errorf("workflow registry", "new", "languages", faas.ErrInvalidArgument, "is nil")
	}
	return &Registry{catalog.New(languages, nil)}, nil
}
