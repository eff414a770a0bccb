package dircode_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/dircode"
	"github.com/joinery/faas/registry/registrytest"
)

func open(tb testing.TB, dir string, o *dircode.Options) *dircode.Store {
	tb.Helper()
	s, err := dircode.Open(dir, o)
	require.NoError(tb, err)
	return s
}

// harness remembers the directories of the stores it opened.
func harness() registrytest.CodeHarness {
	var dirs sync.Map
	fresh := func(tb testing.TB, o *dircode.Options) registry.CodeStore {
		dir := filepath.Join(tb.TempDir(), "code")
		s := open(tb, dir, o)
		dirs.Store(s, dir)
		tb.Cleanup(func() { assertNothingUnderWay(tb, dir) })
		return s
	}
	return registrytest.CodeHarness{
		Open: func(tb testing.TB) registry.CodeStore { return fresh(tb, nil) },
		OpenLimited: func(tb testing.TB, maxBytes int64) registry.CodeStore {
			return fresh(tb, &dircode.Options{MaxBytes: maxBytes})
		},
		Reopen: func(tb testing.TB, s registry.CodeStore) registry.CodeStore {
			dir, _ := dirs.Load(s)
			require.NoError(tb, s.Close())
			return open(tb, dir.(string), nil)
		},
	}
}

func TestConformance(t *testing.T) { registrytest.RunCode(t, harness()) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness()
	open, openLimited, reopen := h.Open, h.OpenLimited, h.Reopen
	h.Open = func(tb testing.TB) registry.CodeStore { return wrapped{open(tb)} }
	h.OpenLimited = func(tb testing.TB, maxBytes int64) registry.CodeStore {
		return wrapped{openLimited(tb, maxBytes)}
	}
	h.Reopen = func(tb testing.TB, s registry.CodeStore) registry.CodeStore {
		return wrapped{reopen(tb, s.(wrapped).CodeStore)}
	}
	registrytest.RunCode(t, h)
}

type wrapped struct{ registry.CodeStore }

// assertNothingUnderWay checks that no call left a temporary file behind.
func assertNothingUnderWay(tb testing.TB, dir string) {
	entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(tb, err)
	assert.Empty(tb, entries)
}
