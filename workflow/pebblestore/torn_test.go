package pebblestore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// lastLog is the log that is being written.
func lastLog(t *testing.T, dir string) string {
	logs, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	slices.Sort(logs)
	return logs[len(logs)-1]
}

// TestTornTail: a log that a kill cut off anywhere in its last records loses what was cut off, and nothing else.
func TestTornTail(t *testing.T) {
	c := small(t, t.TempDir())
	c.Reserve = MinReserve
	s, err := Open(c)
	require.NoError(t, err)
	var sizes []int64
	x := name("a")
	for i := range uint64(20) {
		require.NoError(t, s.Append(t.Context(), batch(x, i, 1)))
		st, err := os.Stat(lastLog(t, c.Dir))
		require.NoError(t, err)
		sizes = append(sizes, st.Size())
	}
	killed := t.TempDir()
	require.NoError(t, os.CopyFS(killed, os.DirFS(c.Dir)))
	require.NoError(t, s.Close())
	for cut := sizes[15]; cut <= sizes[19]; cut += 29 {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(killed)))
		require.NoError(t, os.Truncate(lastLog(t, dir), cut))
		c.Dir = dir
		s, err := Open(c)
		require.NoError(t, err, "cut at %d", cut)
		whole := 0
		for whole < len(sizes) && sizes[whole] <= cut {
			whole++
		}
		got := length(t, s, x)
		assert.GreaterOrEqual(t, got, uint64(whole), "cut at %d", cut)
		assert.Less(t, got, uint64(20)+1)
		require.NoError(t, s.Append(t.Context(), batch(x, got, 1)))
		require.NoError(t, s.Close())
	}
}

// TestDamagedLog: damage in the middle of a log is no torn tail, and is named.
func TestDamagedLog(t *testing.T) {
	c := small(t, t.TempDir())
	s, err := Open(c)
	require.NoError(t, err)
	for i := range uint64(20) {
		require.NoError(t, s.Append(t.Context(), batch(name("a"), i, 1)))
	}
	killed := t.TempDir()
	require.NoError(t, os.CopyFS(killed, os.DirFS(c.Dir)))
	require.NoError(t, s.Close())
	c.Dir = killed
	log := lastLog(t, c.Dir)
	data, err := os.ReadFile(log)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(log, data, 0o600))
	_, err = Open(c)
	require.ErrorIs(t, err, faas.ErrCorrupt)
	assert.ErrorContains(t, err, log)
	assert.ErrorContains(t, err, "offset")
}
