package dirdefinitions_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/definitionstest"
	"github.com/joinery/faas/workflow/dirdefinitions"
)

// text is a language for which every definition is valid.
type text struct{}

func (text) Name() string                                           { return "text" }
func (text) Compile(*workflow.Definition) (workflow.Program, error) { return nil, nil }

func open(tb testing.TB, dir string) *dirdefinitions.Registry {
	tb.Helper()
	r, err := tryOpen(tb, dir, nil)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, r.Close()) })
	return r
}

func tryOpen(tb testing.TB, dir string, o *dirdefinitions.Options) (*dirdefinitions.Registry, error) {
	tb.Helper()
	languages, err := workflow.NewLanguages(text{})
	require.NoError(tb, err)
	return dirdefinitions.Open(dir, languages, o)
}

func register(tb testing.TB, r workflow.Registry, name, source string) workflow.Definition {
	tb.Helper()
	d, err := r.Register(tb.Context(), workflow.Definition{Ref: faas.Ref{Name: name}, Language: "text", Source: source})
	require.NoError(tb, err)
	return d
}

func harness() definitionstest.Harness {
	dirs := map[workflow.Registry]string{}
	at := func(tb testing.TB, dir string, languages *workflow.Languages) workflow.Registry {
		r, err := dirdefinitions.Open(dir, languages, nil)
		require.NoError(tb, err)
		dirs[r] = dir
		return r
	}
	return definitionstest.Harness{
		Open: func(tb testing.TB, languages *workflow.Languages) workflow.Registry {
			return at(tb, filepath.Join(tb.TempDir(), "a", "b"), languages)
		},
		Reopen: func(tb testing.TB, r workflow.Registry, languages *workflow.Languages) workflow.Registry {
			require.NoError(tb, r.Close())
			return at(tb, dirs[r], languages)
		},
	}
}

func TestConformance(t *testing.T) { definitionstest.Run(t, harness()) }

func BenchmarkRegistry(b *testing.B) { definitionstest.Bench(b, harness()) }

func TestFileIsReadable(t *testing.T) {
	dir := t.TempDir()
	register(t, open(t, dir), "report", "line 1\n\n---\nline 2")
	content, err := os.ReadFile(filepath.Join(dir, "default", "report", "1.workflow"))
	require.NoError(t, err)
	assert.Regexp(t, `\Ajoinery-workflow 1 sha256:[0-9a-f]{64}
\{
  "ref": \{
    "Namespace": "default",
    "Name": "report",
    "Version": "1"
  \},
  "language": "text",
  "created": "[^"]+"
\}
---
line 1

---
line 2\z`, string(content))
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	_, err := tryOpen(t, dir, nil)
	require.ErrorIs(t, err, faas.ErrConflict)
	require.NoError(t, r.Close())
	open(t, dir)
}

func TestBadArguments(t *testing.T) {
	_, err := dirdefinitions.Open("", nil, nil)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = tryOpen(t, filepath.Join(file, "below"), nil)
	require.ErrorIs(t, err, faas.ErrUnavailable)
}

// Every single bit of every file is covered: what comes back is what was kept, or the file is named.
func TestEveryBitFlipIsNoticed(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	register(t, r, "a", "one")
	register(t, r, "a", "two")
	require.NoError(t, r.Delete(t.Context(), faas.Ref{Name: "a", Version: "2"}))
	require.NoError(t, r.Close())
	for _, name := range []string{"1.workflow", "numbers"} {
		path := filepath.Join(dir, "default", "a", name)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		spoil := func(what string, spoiled []byte) {
			require.NoError(t, os.WriteFile(path, spoiled, 0o600))
			_, err := tryOpen(t, dir, nil)
			require.Error(t, err, "%s %s", name, what)
			require.Contains(t, []error{faas.ErrCorrupt, faas.ErrUnimplemented}, faas.Class(err), "%s %s", name, what)
			require.ErrorContains(t, err, path)
		}
		for i := range len(content) * 8 {
			spoiled := bytes.Clone(content)
			spoiled[i/8] ^= 1 << (i % 8)
			spoil("bit", spoiled)
		}
		for n := range content {
			spoil("cut", content[:n])
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	r = open(t, dir)
	assert.Equal(t, "3", register(t, r, "a", "three").Ref.Version)
}

func TestEveryDamagedFileIsNamedAndOthersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		register(t, r, name, "text")
	}
	require.NoError(t, r.Close())
	home := func(parts ...string) string { return filepath.Join(append([]string{dir, "default"}, parts...)...) }
	strangers := []string{filepath.Join(dir, "README"), home("notes~"), home("c", "1.workflow.orig"), home("c", "01.workflow")}
	for _, path := range strangers {
		require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
	}
	require.NoError(t, os.WriteFile(home("c", ".new-123"), []byte("left by a killed writer"), 0o600))
	var log bytes.Buffer
	r, err := tryOpen(t, dir, &dirdefinitions.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	for _, path := range strangers {
		assert.Contains(t, log.String(), path)
		assert.FileExists(t, path)
	}
	assert.NoFileExists(t, home("c", ".new-123"))

	require.NoError(t, os.Rename(home("a", "1.workflow"), home("a", "7.workflow")))
	require.NoError(t, os.WriteFile(home("b", "1.workflow"), nil, 0o600))
	_, err = tryOpen(t, dir, nil)
	require.ErrorIs(t, err, faas.ErrCorrupt)
	assert.ErrorContains(t, err, home("a", "7.workflow"))
	assert.ErrorContains(t, err, home("b", "1.workflow"))
	assert.NotContains(t, err.Error(), home("c"))
}

// A kill between the note of a deletion and the removal of files leaves files that do not count.
func TestDeletedStaysDeletedAfterAKill(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	for _, source := range []string{"one", "two"} {
		register(t, r, "a", source)
	}
	path := filepath.Join(dir, "default", "a", "2.workflow")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, r.Delete(t.Context(), faas.Ref{Name: "a"}))
	require.NoError(t, r.Close())
	require.NoError(t, os.WriteFile(path, content, 0o600))

	r = open(t, dir)
	_, err = r.Get(t.Context(), faas.Ref{Name: "a"})
	require.ErrorIs(t, err, faas.ErrNotFound)
	assert.NoFileExists(t, path)
	assert.Equal(t, "3", register(t, r, "a", "three").Ref.Version)
}

func TestFailedWriteAdmitsNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	register(t, r, "a", "one")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "default"), nil, 0o600)) // in the place of the directory
	_, err := r.Register(t.Context(), workflow.Definition{Ref: faas.Ref{Name: "a"}, Language: "text", Source: "two"})
	require.ErrorIs(t, err, faas.ErrUnavailable)
	require.ErrorIs(t, r.Delete(t.Context(), faas.Ref{Name: "a"}), faas.ErrUnavailable)
	d, err := r.Get(t.Context(), faas.Ref{Name: "a"})
	require.NoError(t, err)
	assert.Equal(t, "1", d.Ref.Version)
}
