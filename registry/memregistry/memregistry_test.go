package memregistry_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const history = 500

func open(testing.TB) registry.Registry {
	return memregistry.New(&memregistry.Options{History: history})
}

func TestConformance(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{Open: open, History: history})
}

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{
		Open:    func(tb testing.TB) registry.Registry { return wrapped{open(tb)} },
		History: history,
	})
}

type wrapped struct{ registry.Registry }

func BenchmarkRegistry(b *testing.B) { registrytest.Bench(b, registrytest.Harness{Open: open}) }

func TestLookUpsAllocateNothing(t *testing.T) {
	r := memregistry.New(nil)
	name := faas.Ref{Name: "hello"}
	_, err := r.Publish(t.Context(), name, faas.Spec{Contract: faas.ContractHandler, Command: []string{"x"}}, nil)
	require.NoError(t, err)
	_, err = r.SetAlias(t.Context(), registry.Alias{Ref: faas.Ref{Name: "hello", Version: "live"}, Target: "1"}, nil)
	require.NoError(t, err)
	ctx := context.Background()
	for _, version := range []string{"", "1", "live"} {
		ref := faas.Ref{Name: "hello", Version: version}
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if fn, err := r.Get(ctx, ref); err != nil || fn.Ref.Version != "1" {
				t.Error(fn.Ref, err)
			}
		}), version)
	}
}
