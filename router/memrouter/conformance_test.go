package memrouter_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas/router"
	"github.com/joinery/faas/router/memrouter"
	"github.com/joinery/faas/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var harness = routertest.Harness{Open: func(tb testing.TB, c routertest.Config) router.Router {
	r, err := memrouter.New(memrouter.Config{
		Resolver: c.Resolver, Deployer: c.Deployer, QueueDepth: c.QueueDepth, QueueBytes: c.QueueBytes,
	})
	require.NoError(tb, err)
	return r
}}

func TestConformance(t *testing.T) { routertest.Run(t, harness) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	routertest.Run(t, routertest.Harness{Open: func(tb testing.TB, c routertest.Config) router.Router {
		return wrapped{harness.Open(tb, c)}
	}})
}

type wrapped struct{ router.Router }

func BenchmarkConformance(b *testing.B) { routertest.Bench(b, harness) }
