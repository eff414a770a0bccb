package boltregistry_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/boltregistry"
	"github.com/joinery/faas/registry/registrytest"
)

// harness remembers the files of the registries it opened.
func harness(history int) registrytest.Harness {
	var paths sync.Map
	open := func(tb testing.TB, path string) registry.Registry {
		r, err := boltregistry.Open(path, &boltregistry.Options{History: history})
		require.NoError(tb, err)
		paths.Store(r, path)
		return r
	}
	return registrytest.Harness{
		History: history,
		Open: func(tb testing.TB) registry.Registry {
			return open(tb, filepath.Join(tb.TempDir(), "functions.db"))
		},
		Reopen: func(tb testing.TB, r registry.Registry) registry.Registry {
			path, _ := paths.Load(r)
			require.NoError(tb, r.Close())
			return open(tb, path.(string))
		},
	}
}

func TestConformance(t *testing.T) { registrytest.Run(t, harness(500)) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness(500)
	open, reopen := h.Open, h.Reopen
	h.Open = func(tb testing.TB) registry.Registry { return wrapped{open(tb)} }
	h.Reopen = func(tb testing.TB, r registry.Registry) registry.Registry {
		return wrapped{reopen(tb, r.(wrapped).Registry)}
	}
	registrytest.Run(t, h)
}

type wrapped struct{ registry.Registry }

func BenchmarkRegistry(b *testing.B) { registrytest.Bench(b, harness(0)) }
