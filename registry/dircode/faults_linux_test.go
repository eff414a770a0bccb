package dircode_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/dircode"
)

// childDir makes the test binary a writer that is going to be killed.
const childDir = "DIRCODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		putUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// putUntilKilled says which contents it stored.
func putUntilKilled(dir string) {
	s, err := dircode.Open(dir, nil)
	for n := 0; err == nil; n++ {
		var b registry.Blob
		text := strings.Repeat(fmt.Sprintln(os.Getpid(), n), 20_000)
		if b, err = s.Put(context.Background(), strings.NewReader(text)); err == nil {
			fmt.Println(b.Digest)
		}
	}
	fmt.Println("failed", err)
	os.Exit(1)
}

func TestKillLeavesWholeBlobsAndNoRubbish(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	self, err := os.Executable()
	require.NoError(t, err)
	var stored []faas.Digest
	for round := range 12 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			require.NoError(t, faas.Digest(lines.Text()).Validate())
			stored = append(stored, faas.Digest(lines.Text()))
			if n == round%4 {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait())
	}
	s := open(t, dir, nil)
	assertNothingUnderWay(t, dir)
	for _, d := range stored {
		r, err := s.Open(t.Context(), d)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r) // checks the digest
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	n := 0
	for _, err := range s.List(t.Context()) {
		require.NoError(t, err)
		n++
	}
	assert.GreaterOrEqual(t, n, len(stored))
}

func TestAnotherOpenerLeavesWritersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	s := open(t, dir, nil)
	abandoned := filepath.Join(dir, "tmp", "put-1")
	require.NoError(t, os.WriteFile(abandoned, []byte("half"), 0o400))

	pr, pw := io.Pipe()
	end := make(chan error)
	go func() {
		_, err := s.Put(t.Context(), pr)
		end <- err
	}()
	_, err := pw.Write([]byte("first half, "))
	require.NoError(t, err)
	other := open(t, dir, nil) // cleans up
	assert.NoFileExists(t, abandoned)
	_, err = pw.Write([]byte("second half"))
	require.NoError(t, err)
	require.NoError(t, pw.Close())
	require.NoError(t, <-end)
	for b, err := range other.List(t.Context()) {
		require.NoError(t, err)
		assert.EqualValues(t, len("first half, second half"), b.Size)
	}
	require.NoError(t, other.Close())
	require.NoError(t, s.Close())
}

func TestDamageIsNoticedNamedAndRepaired(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	s := open(t, dir, nil)
	content := bytes.Repeat([]byte("content "), 20_000)
	b, err := s.Put(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	path := filepath.Join(dir, "blobs", string(b.Digest[len("sha256:"):]))
	for name, bad := range map[string][]byte{
		"a flipped bit": append([]byte{content[0] ^ 1}, content[1:]...),
		"cut off":       content[:len(content)-1],
		"empty":         nil,
		"longer":        append(bytes.Clone(content), 0),
	} {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		r, err := s.Open(t.Context(), b.Digest)
		require.NoError(t, err, name)
		_, err = io.ReadAll(r)
		assert.ErrorIs(t, err, faas.ErrCorrupt, name)
		assert.ErrorContains(t, err, path, name)
		_, again := r.Read(make([]byte, 1))
		assert.ErrorIs(t, again, faas.ErrCorrupt, "the error stays")
		require.NoError(t, r.Close())
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = s.Open(t.Context(), b.Digest)
	assert.ErrorIs(t, err, faas.ErrCorrupt)
	require.NoError(t, os.Remove(path))

	require.NoError(t, os.WriteFile(path, []byte("bad"), 0o600))
	_, err = s.Put(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	r, err := s.Open(t.Context(), b.Digest)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, content, got)
	require.NoError(t, r.Close())
}

func TestForeignFilesAreNotBlobs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	s := open(t, dir, &dircode.Options{MaxBytes: 100})
	for _, name := range []string{"README", ".DS_Store", strings.Repeat("g", 64), strings.Repeat("A", 64)} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "blobs", name), make([]byte, 1000), 0o600))
	}
	_, err := s.Put(t.Context(), strings.NewReader("x"))
	require.NoError(t, err)
	n := 0
	for range s.List(t.Context()) {
		n++
	}
	assert.Equal(t, 1, n)
}

func TestOpenRefuses(t *testing.T) {
	_, err := dircode.Open("", nil)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = dircode.Open(t.TempDir(), &dircode.Options{MaxBytes: -1})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = dircode.Open(file, nil)
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.ErrorContains(t, err, file)
}

// TestDiskFull fills a real file system: a Put is refused, leaves nothing, and works when there is space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	s := open(t, dir, nil)
	first, err := s.Put(t.Context(), bytes.NewReader(make([]byte, 600<<10)))
	require.NoError(t, err)
	second := bytes.Repeat([]byte("x"), 600<<10)
	_, err = s.Put(t.Context(), bytes.NewReader(second))
	assert.ErrorIs(t, err, faas.ErrExhausted)
	assertNothingUnderWay(t, dir)
	require.NoError(t, s.Delete(t.Context(), first.Digest))
	_, err = s.Put(t.Context(), bytes.NewReader(second))
	require.NoError(t, err)
}
