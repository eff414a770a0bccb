package gobuilder_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/internal/archive"
)

// hash1 is the "h1:" hash of go.sum over files by name.
func hash1(files map[string]string) string {
	var lines []string
	for name, text := range files {
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), name))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// proxy makes a module proxy of one module in a directory (go.dev/ref/mod#goproxy-protocol)
// and returns its URL and the lines of go.sum.
func proxy(tb testing.TB, dir, module, version, code string) (url, sum string) {
	tb.Helper()
	mod := "module " + module + "\n\ngo 1.24\n"
	prefix := module + "@" + version + "/"
	files := map[string]string{prefix + "go.mod": mod, prefix + "code.go": code}
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, text := range files {
		f, err := w.Create(name)
		require.NoError(tb, err)
		_, err = io.WriteString(f, text)
		require.NoError(tb, err)
	}
	require.NoError(tb, w.Close())
	at := filepath.Join(dir, module, "@v")
	require.NoError(tb, os.MkdirAll(at, 0o755))
	for name, text := range map[string]string{"list": version, ".info": `{"Version":"` + version + `"}`, ".mod": mod, ".zip": buf.String()} {
		if name != "list" {
			name = version + name
		}
		require.NoError(tb, os.WriteFile(filepath.Join(at, name), []byte(text), 0o600))
	}
	return "file://" + dir, fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", module, version, hash1(files), module, version, hash1(map[string]string{"go.mod": mod}))
}

func TestModulesFromAProxy(t *testing.T) {
	dir := t.TempDir()
	url, sum := proxy(t, dir, "example.com/words", "v1.2.3", words)
	b, err := gobuilder.New(&gobuilder.Options{ModCache: t.TempDir(), Env: map[string]string{
		"GOPROXY": url, "GOSUMDB": "off", "GOFLAGS": "-modcacherw",
	}})
	require.NoError(t, err)
	files := map[string]string{
		"go.mod":   "module example.com/hello\n\ngo 1.24\n\nrequire example.com/words v1.2.3\n",
		"go.sum":   sum,
		"hello.go": strings.ReplaceAll(hello, "example.com/hello/words", "example.com/words"),
	}
	job := builder.Job{Source: filepath.Join(t.TempDir(), "source"), Output: t.TempDir(), Temp: t.TempDir(), Log: io.Discard}
	require.NoError(t, archive.CopyFS(t.Context(), source(files), job.Source, archive.Limits{}))
	require.NoError(t, b.Resolve(t.Context(), job))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "example.com")), "the build needs no network any more")
	a, err := b.Build(t.Context(), job)
	require.NoError(t, err)
	_, answer, err := instance.Start(t, job.Output, a).Post(t.Context(), "text/plain", "Barbara")
	require.NoError(t, err)
	assert.Equal(t, "Hello, Barbara!", answer)

	_, _, err = build(t, newBuilder(t), files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument, "no network unless the embedder names a proxy")
	assert.ErrorContains(t, err, "GOPROXY in Options.Env")

	proxy(t, dir, "example.com/words", "v1.2.3", words+"\nvar Changed = true\n")
	b, err = gobuilder.New(&gobuilder.Options{ModCache: t.TempDir(), Env: map[string]string{
		"GOPROXY": url, "GOSUMDB": "off", "GOFLAGS": "-modcacherw",
	}})
	require.NoError(t, err)
	_, _, err = build(t, b, files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "checksum mismatch")
}
