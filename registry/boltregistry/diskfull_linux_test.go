package boltregistry_test

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"os"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// TestDiskFull fills a real file system: writes are refused and change nothing until there is space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	path := filepath.Join(dir, "functions.db")
	r := open(t, path, nil)
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 512<<10), 0o600))

	big := spec(1)
	big.Env["BIG"] = strings.Repeat("x", 60_000)
	name := faas.Ref{Name: "a"}
	published := 0
	publish := func() error {
		_, err := r.Publish(context.Background(), name, big, nil)
		return err
	}
	for ; published < 100; published++ {
		if err := publish(); err != nil {
			assert.ErrorIs(t, err, faas.ErrExhausted)
			break
		}
	}
	require.Greater(t, published, 1)
	require.Less(t, published, 100, "a megabyte holds 6 MB")
	full := everything(t, r)
	assert.ErrorIs(t, publish(), faas.ErrExhausted)
	assert.Equal(t, full, everything(t, r), "a refused write left something")

	require.NoError(t, os.Remove(ballast))
	require.NoError(t, publish(), "there is space again")
	want := everything(t, r)
	require.NoError(t, r.Close())
	assert.Equal(t, want, everything(t, open(t, path, nil)))
}
