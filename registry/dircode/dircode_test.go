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

func TestConformance(t *testing.T) {
	var dirs sync.Map
	fresh := func(tb testing.TB, o *dircode.Options) registry.CodeStore {
		dir := filepath.Join(tb.TempDir(), "code")
		s := open(tb, dir, o)
		dirs.Store(s, dir)
		tb.Cleanup(func() { assertNothingUnderWay(tb, dir) })
		return s
	}
	registrytest.RunCode(t, registrytest.CodeHarness{
		Open: func(tb testing.TB) registry.CodeStore { return fresh(tb, nil) },
		OpenLimited: func(tb testing.TB, maxBytes int64) registry.CodeStore {
			return fresh(tb, &dircode.Options{MaxBytes: maxBytes})
		},
		Reopen: func(tb testing.TB, s registry.CodeStore) registry.CodeStore {
			dir, _ := dirs.Load(s)
			require.NoError(tb, s.Close())
			return open(tb, dir.(string), nil)
		},
	})
}

// assertNothingUnderWay checks that no call left a temporary file behind.
func assertNothingUnderWay(tb testing.TB, dir string) {
	entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(tb, err)
	assert.Empty(tb, entries)
}
