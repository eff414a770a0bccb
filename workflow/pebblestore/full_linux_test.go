package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// TestDiskFull fills a real file system: batches are refused and leave nothing, until there is space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	c := small(t, filepath.Join(dir, "store"))
	c.Reserve = 2 << 20
	s, err := Open(c)
	require.NoError(t, err)
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 6<<20), 0o600))
	written := make(map[string]uint64)
	noise, large := rand.NewChaCha8([32]byte{}), make([]byte, 20<<10)
	var refused error
	for i := 0; refused == nil; i++ {
		require.Less(t, i, 5000, "16 MB hold more than they can")
		id := fmt.Sprint("x", i%7)
		b := batch(name(id), written[id], 1)
		noise.Read(large)
		b.Events[0].Payload = workflow.Bytes("text/plain", large)
		if refused = s.Append(t.Context(), b); refused == nil {
			written[id]++
		}
	}
	assert.ErrorIs(t, refused, faas.ErrExhausted)
	check := func(s *Store) {
		t.Helper()
		for id, want := range written {
			assert.Equal(t, want, length(t, s, name(id)), id)
		}
	}
	check(s)
	assert.ErrorIs(t, s.Append(t.Context(), batch(name("new"), 0, 1)), faas.ErrExhausted)

	require.NoError(t, os.Remove(ballast))
	ctx, began := t.Context(), time.Now()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		assert.NoError(t, s.Append(ctx, batch(name("new"), 0, 1)))
	}, 30*time.Second, pause)
	t.Logf("takes batches again after %v", time.Since(began))
	check(s)
	require.NoError(t, s.Close())
	s, err = Open(c)
	require.NoError(t, err)
	check(s)
	require.NoError(t, s.Close())
}
