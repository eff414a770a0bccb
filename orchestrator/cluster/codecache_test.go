package cluster_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/memnaming"
)

// codeSource has archives by digest, and counts how often each was opened.
type codeSource struct{ *codes }

type codes struct {
	mu    sync.Mutex
	blobs map[faas.Digest][]byte
	opens map[faas.Digest]int
}

func newCode() codeSource {
	return codeSource{&codes{blobs: map[faas.Digest][]byte{}, opens: map[faas.Digest]int{}}}
}

func (c codeSource) Open(_ context.Context, d faas.Digest) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opens[d]++
	b, ok := c.blobs[d]
	if !ok {
		return nil, faas.Errorf("code store", "open", string(d), faas.ErrNotFound, "no such content")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// add packs one file and returns the digest of the archive.
func (c codeSource) add(t testing.TB, name string, content []byte) faas.Digest {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}))
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	sum := sha256.Sum256(b.Bytes())
	d := faas.Digest("sha256:" + hex.EncodeToString(sum[:]))
	c.blobs[d] = b.Bytes()
	return d
}

// dirDriver notes which directories tasks were given.
type dirDriver struct {
	driver.Driver
	mu   sync.Mutex
	dirs map[string]string
}

func (d *dirDriver) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	d.mu.Lock()
	d.dirs[t.ID] = t.Dir
	d.mu.Unlock()
	return d.Driver.Start(ctx, t)
}

func codeAgent(t *testing.T, c orchestrator.CodeSource, dir string, limit int64) (*cluster.Manager, *dirDriver) {
	names := memnaming.New(nil)
	t.Cleanup(func() { names.Close() })
	m, _ := startManager(t, names)
	d := &dirDriver{Driver: memDriver(t), dirs: map[string]string{}}
	a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "n1"}, Drivers: []driver.Driver{d},
		Code: c, CodeDir: dir, CodeCacheBytes: limit, Logger: testLog(t)})
	require.NoError(t, err)
	runner(t, a.Run)
	return m, d
}

func coded(id string, d faas.Digest) orchestrator.Workload {
	w := handler(id)
	w.Code = d
	return w
}

func TestCodeIsFetchedOnceAndShared(t *testing.T) {
	c, dir := newCode(), t.TempDir()
	digest := c.add(t, "hello", []byte("hello"))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tmp-left", "over"), 0o755))
	m, d := codeAgent(t, c, dir, 0)
	const n = 20
	for i := range n {
		require.NoError(t, m.Apply(t.Context(), coded(fmt.Sprintf("i%d", i), digest)))
	}
	for i := range n {
		await(t, m, fmt.Sprintf("i%d", i), phase(orchestrator.PhaseRunning))
	}
	assert.Equal(t, 1, c.opens[digest])
	for id, at := range d.dirs {
		assert.Equal(t, d.dirs["i0"], at, id)
	}
	got, err := os.ReadFile(filepath.Join(d.dirs["i0"], "hello"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(got))
	for _, path := range []string{d.dirs["i0"], filepath.Join(d.dirs["i0"], "hello")} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o222, "%s is %v", path, info.Mode())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left of an earlier or the present fetch")
	require.NoError(t, makeWritable(dir))
}

// makeWritable lets TempDir remove what is read-only.
func makeWritable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return err
	})
}

func TestCodeThatIsBadIsRefused(t *testing.T) {
	c, dir := newCode(), t.TempDir()
	good := c.add(t, "hello", []byte("hello"))
	wrong := faas.Digest("sha256:" + hex.EncodeToString(make([]byte, 32)))
	c.blobs[wrong] = c.blobs[good]
	hostile := c.add(t, "../hello", []byte("hello"))
	missing := faas.Digest("sha256:" + hex.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	m, _ := codeAgent(t, c, dir, 0)
	for i, tc := range []struct {
		digest faas.Digest
		class  error
	}{{wrong, faas.ErrCorrupt}, {hostile, faas.ErrInvalidArgument}, {missing, faas.ErrNotFound}} {
		id := fmt.Sprintf("i%d", i)
		require.NoError(t, m.Apply(t.Context(), coded(id, tc.digest)))
		s := await(t, m, id, phase(orchestrator.PhaseEnded))
		assert.ErrorIs(t, s.Err(), tc.class)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestCodeNobodyUsesIsRemovedBeyondTheBound(t *testing.T) {
	c, dir := newCode(), t.TempDir()
	m, d := codeAgent(t, c, dir, 2500)
	seen := watchAll(t.Context(), m)
	digests := make([]faas.Digest, 4)
	for i := range digests {
		digests[i] = c.add(t, "hello", bytes.Repeat([]byte{byte(i)}, 1000))
		require.NoError(t, m.Apply(t.Context(), coded(fmt.Sprintf("i%d", i), digests[i])))
		waitFor(seen, fmt.Sprintf("i%d", i), orchestrator.PhaseRunning)
	}
	there := func() (n int) {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		return len(left)
	}
	assert.Equal(t, 4, there(), "what is used stays")
	for i := range digests {
		require.NoError(t, m.Remove(t.Context(), fmt.Sprintf("i%d", i)))
		waitFor(seen, fmt.Sprintf("i%d", i), orchestrator.PhaseGone)
	}
	assert.Equal(t, 2, there())
	_, err := os.Stat(d.dirs["i0"])
	assert.ErrorIs(t, err, os.ErrNotExist, "the one unused longest goes first")
	require.NoError(t, m.Apply(t.Context(), coded("again", digests[3])))
	await(t, m, "again", phase(orchestrator.PhaseRunning))
	assert.Equal(t, 1, c.opens[digests[3]], "what is kept is not fetched again")
	require.NoError(t, makeWritable(dir))
}

func TestCodeWithoutASourceIsRefused(t *testing.T) {
	m, _ := codeAgent(t, nil, "", 0)
	require.NoError(t, m.Apply(t.Context(), coded("i1", "sha256:"+faas.Digest(hex.EncodeToString(make([]byte, 32))))))
	s := await(t, m, "i1", phase(orchestrator.PhaseEnded))
	assert.ErrorIs(t, s.Err(), faas.ErrUnimplemented)
}
