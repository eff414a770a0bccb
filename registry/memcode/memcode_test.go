package memcode_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	registrytest.RunCode(t, registrytest.CodeHarness{
		Open: func(testing.TB) registry.CodeStore { return memcode.New(nil) },
		OpenLimited: func(_ testing.TB, maxBytes int64) registry.CodeStore {
			return memcode.New(&memcode.Options{MaxBytes: maxBytes})
		},
	})
}
