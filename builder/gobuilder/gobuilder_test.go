package gobuilder_test

import (
	"context"
	"io"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/internal/archive"
)

func source(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func newBuilder(tb testing.TB) *gobuilder.Builder {
	tb.Helper()
	b, err := gobuilder.New(nil)
	require.NoError(tb, err)
	return b
}

// build runs all three steps and returns where the code is.
func build(tb testing.TB, b builder.Builder, files map[string]string) (string, builder.Artifact, error) {
	tb.Helper()
	src := source(files)
	job := builder.Job{Source: tb.TempDir() + "/source", Output: tb.TempDir(), Temp: tb.TempDir(), Log: io.Discard}
	require.NoError(tb, archive.CopyFS(context.Background(), src, job.Source, archive.Limits{}))
	if err := b.Validate(tb.Context(), src); err != nil {
		return "", builder.Artifact{}, err
	}
	if err := b.Resolve(tb.Context(), job); err != nil {
		return "", builder.Artifact{}, err
	}
	a, err := b.Build(tb.Context(), job)
	return job.Output, a, err
}

func TestSmoke(t *testing.T) {
	dir, a, err := build(t, newBuilder(t), map[string]string{"hello.go": `package hello
import ("io"; "net/http"; "strings")
func Handler(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	io.WriteString(w, strings.ToUpper(string(b)))
}`})
	require.NoError(t, err)
	in := instance.Start(t, dir, a)
	status, answer, err := in.Post(t.Context(), "text/plain", "hello")
	require.NoError(t, err)
	assert.Equal(t, 200, status)
	assert.Equal(t, "HELLO", answer)
}
