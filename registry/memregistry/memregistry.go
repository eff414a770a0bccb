// Package memregistry is a function registry (F1) in memory: for tests, for
// platforms that register their functions at every start, and as the measure of how
// fast a look-up can be. Get takes no lock and allocates nothing.
//
// # Snippet
//
//	reg := memregistry.New(nil)
//	defer reg.Close()
//	fn, err := reg.Publish(ctx, faas.Ref{Name: "hello"}, spec, nil) // default/hello@1
//
// # Errors
//
// Those of [registry.Registry]. Nothing here can be corrupt or run out of space.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package memregistry

import (
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/table"
)

// DefaultHistory is the number of changes that Options keeps when it says nothing else.
const DefaultHistory = 10_000

// Options of New; nil means the defaults.
type Options struct {
	// History is how many changes are kept for Watch, each about 150 bytes. A watcher that falls
	// further behind ends with ErrExhausted. Zero or less: DefaultHistory.
	History int
}

// The methods of a Registry are those of the contract, and documented there.
var _ registry.Registry = (*Registry)(nil)

type base = table.Table

// Registry is a [registry.Registry] in memory. What it holds ends with the process.
type Registry struct{ *base }

// New returns an empty registry.
func New(o *Options) *Registry {
	history := DefaultHistory
	if o != nil && o.History > 0 {
		history = o.History
	}
	t, err := table.New(table.Config{History: history})
	if err != nil {
		panic("memregistry: an empty state is consistent: " + err.Error())
	}
	return &Registry{t}
}
