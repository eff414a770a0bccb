package memregistry_test

import (
	"testing"

	"go.uber.org/goleak"

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
