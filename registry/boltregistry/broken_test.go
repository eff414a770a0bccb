package boltregistry

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// TestAFailedWriteStopsAllWrites takes the file away below a registry: nothing more is
// acknowledged, and what was is still there to read.
func TestAFailedWriteStopsAllWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "functions.db")
	require.NoError(t, create(path))
	db, err := open(path)
	require.NoError(t, err)
	l := &log{db: db, history: 10}
	r, err := l.table(path)
	require.NoError(t, err)
	spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"run"}}
	name := faas.Ref{Name: "a"}
	first, err := r.Publish(t.Context(), name, spec, nil)
	require.NoError(t, err)

	require.NoError(t, db.Close())
	for _, text := range []string{"not open", "refused since an earlier write failed"} {
		_, err = r.Publish(t.Context(), name, spec, nil)
		assert.ErrorIs(t, err, faas.ErrUnavailable)
		assert.ErrorContains(t, err, text)
		fn, err := r.Get(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, first, fn)
	}
	require.NoError(t, r.Close())
}
