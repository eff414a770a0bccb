package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// snapshot is the content of a directory: names to content, link target or "dir".
func snapshot(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	got := map[string]string{}
	require.NoError(tb, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil || name == "." {
			return err
		}
		switch {
		case d.IsDir():
			got[name] = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			got[name] = "-> " + target
			return err
		default:
			b, err := os.ReadFile(p)
			got[name] = string(b)
			return err
		}
		return nil
	}))
	return got
}

func gz(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b)
	_ = w.Close()
	return buf.Bytes()
}

var goodTree = map[string]string{
	"a.txt": "hello", "bin": "dir", "bin/run": "#!", "bin/link": "-> ../a.txt", "empty": "dir", "deep": "dir", "deep/er": "dir", "deep/er/x": "",
}

func goodTar() []byte {
	return tarOf(
		entry{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir}},
		entry{Header: tar.Header{Name: "./a.txt"}, body: "hello"},
		entry{Header: tar.Header{Name: "bin/run", Mode: 0o700}, body: "#!"},
		entry{Header: tar.Header{Name: "bin/", Typeflag: tar.TypeDir}}, // after what is in it
		entry{Header: tar.Header{Name: "bin/link", Typeflag: tar.TypeSymlink, Linkname: "../a.txt"}},
		entry{Header: tar.Header{Name: "empty/", Typeflag: tar.TypeDir}},
		entry{Header: tar.Header{Name: "deep/er/x"}},
	)
}

func TestUnpackTar(t *testing.T) {
	for name, unpack := range map[string]func(dir string) error{
		"tar":    func(dir string) error { return UnpackTar(t.Context(), bytes.NewReader(goodTar()), dir, Limits{}) },
		"tar.gz": func(dir string) error { return UnpackTarGz(t.Context(), bytes.NewReader(gz(goodTar())), dir, Limits{}) },
		"slow": func(dir string) error {
			return UnpackTar(t.Context(), iotest.OneByteReader(bytes.NewReader(goodTar())), dir, Limits{})
		},
		"padded": func(dir string) error {
			return UnpackTar(t.Context(), bytes.NewReader(append(goodTar(), make([]byte, 20<<10)...)), dir, Limits{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			require.NoError(t, unpack(dir))
			assert.Equal(t, goodTree, snapshot(t, dir))
			info, err := os.Stat(filepath.Join(dir, "bin/run"))
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o755), info.Mode(), "modes are normalised")
		})
	}
}

func TestUnpackZip(t *testing.T) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	add := func(name string, mode fs.FileMode, body string) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = io.WriteString(f, body)
		require.NoError(t, err)
	}
	add("a.txt", 0o600, "hello")
	add("bin/run", 0o755, "#!")
	add("bin/link", fs.ModeSymlink|0o777, "../a.txt")
	add("empty/", fs.ModeDir|0o755, "")
	add("deep/er/x", 0o644, "")
	require.NoError(t, w.SetComment("a comment is no junk"))
	require.NoError(t, w.Close())

	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, UnpackZip(t.Context(), bytes.NewReader(buf.Bytes()), int64(buf.Len()), dir, Limits{}))
	assert.Equal(t, goodTree, snapshot(t, dir))
}

func TestPackTarIsDeterministicAndUnpacks(t *testing.T) {
	var packed [2]bytes.Buffer
	for i := range packed {
		dir := t.TempDir()
		require.NoError(t, UnpackTar(t.Context(), bytes.NewReader(goodTar()), dir, Limits{}))
		require.NoError(t, os.Chmod(filepath.Join(dir, "a.txt"), []fs.FileMode{0o600, 0o664}[i]))
		require.NoError(t, PackTar(t.Context(), &packed[i], dir))
	}
	assert.Equal(t, packed[0].Bytes(), packed[1].Bytes(), "times and exact modes do not matter")

	dir := t.TempDir()
	require.NoError(t, UnpackTar(t.Context(), &packed[0], dir, Limits{}))
	assert.Equal(t, goodTree, snapshot(t, dir))
}

func TestPackTarRefusesWhatWouldNotUnpack(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
	err := PackTar(t.Context(), io.Discard, dir)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)

	full := errors.New("no more")
	err = PackTar(t.Context(), iotestWriter{full}, t.TempDir())
	require.ErrorIs(t, err, full)
}

type iotestWriter struct{ err error }

func (w iotestWriter) Write([]byte) (int, error) { return 0, w.err }

func TestCopyFS(t *testing.T) {
	src := t.TempDir()
	require.NoError(t, UnpackTar(t.Context(), bytes.NewReader(goodTar()), src, Limits{}))
	require.NoError(t, os.MkdirAll(filepath.Join(src, ".git/objects"), 0o755))
	root, err := os.OpenRoot(src)
	require.NoError(t, err)
	defer root.Close()

	dir := filepath.Join(t.TempDir(), "out")
	require.NoError(t, CopyFS(t.Context(), root.FS(), dir, Limits{}))
	assert.Equal(t, goodTree, snapshot(t, dir))

	require.NoError(t, os.Symlink("../outside", filepath.Join(src, "escape")))
	dir = filepath.Join(t.TempDir(), "out")
	require.ErrorIs(t, CopyFS(t.Context(), root.FS(), dir, Limits{}), faas.ErrInvalidArgument)
	require.NoDirExists(t, dir)

	require.NoError(t, CopyFS(t.Context(), fstest.MapFS{"main.go": {Data: []byte("package main")}}, t.TempDir(), Limits{}))
}

func TestErrorsKeepTheirClass(t *testing.T) {
	t.Run("reader", func(t *testing.T) {
		cause := faas.Errorf("code store", "open", "x", faas.ErrCorrupt, "bad digest")
		r := io.MultiReader(bytes.NewReader(goodTar()[:1500]), iotest.ErrReader(cause))
		err := UnpackTar(t.Context(), r, t.TempDir(), Limits{})
		require.ErrorIs(t, err, faas.ErrCorrupt)
		require.NotErrorIs(t, err, faas.ErrInvalidArgument)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dir := filepath.Join(t.TempDir(), "out")
		r := io.MultiReader(bytes.NewReader(goodTar()[:1500]), readerFunc(func([]byte) (int, error) { cancel(); return 0, nil }), bytes.NewReader(goodTar()[1500:]))
		require.ErrorIs(t, UnpackTar(ctx, r, dir, Limits{}), faas.ErrCanceled)
		require.NoDirExists(t, dir)
	})
	t.Run("target not empty", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
		require.ErrorIs(t, UnpackTar(t.Context(), bytes.NewReader(goodTar()), dir, Limits{}), faas.ErrAlreadyExists)
		require.FileExists(t, filepath.Join(dir, "mine"), "what was there before is not ours to remove")
	})
	t.Run("message", func(t *testing.T) {
		err := UnpackTar(t.Context(), bytes.NewReader(tarOf(entry{Header: tar.Header{Name: "../" + strings.Repeat("x", 500)}})), t.TempDir(), Limits{})
		var e *faas.Error
		require.ErrorAs(t, err, &e)
		assert.Less(t, len(e.Key), 100, "a hostile name is clipped")
		assert.Contains(t, e.Error(), `has ".." in its name`)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
