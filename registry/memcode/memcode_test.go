package memcode_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func harness() registrytest.CodeHarness {
	return registrytest.CodeHarness{
		Open: func(testing.TB) registry.CodeStore { return memcode.New(nil) },
		OpenLimited: func(_ testing.TB, maxBytes int64) registry.CodeStore {
			return memcode.New(&memcode.Options{MaxBytes: maxBytes})
		},
	}
}

func TestConformance(t *testing.T) { registrytest.RunCode(t, harness()) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness()
	open, openLimited := h.Open, h.OpenLimited
	h.Open = func(tb testing.TB) registry.CodeStore { return wrapped{open(tb)} }
	h.OpenLimited = func(tb testing.TB, maxBytes int64) registry.CodeStore {
		return wrapped{openLimited(tb, maxBytes)}
	}
	registrytest.RunCode(t, h)
}

type wrapped struct{ registry.CodeStore }
