package pybuilder_test

import (
	"context"
	"io"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/builder/pybuilder"
	"github.com/joinery/faas/internal/archive"
	machine "github.com/joinery/faas/internal/require"
)

// newBuilder returns the builder, on a machine that has Python.
func newBuilder(tb testing.TB, o *pybuilder.Options) *pybuilder.Builder {
	tb.Helper()
	if o == nil || o.Python == "" {
		_, err := pybuilder.New(nil)
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		machine.Engine(tb, "python", err == nil, reason)
	}
	b, err := pybuilder.New(o)
	require.NoError(tb, err)
	return b
}

func source(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
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

// start builds and starts a function.
func start(tb testing.TB, files map[string]string) *instance.Instance {
	tb.Helper()
	dir, a, err := build(tb, newBuilder(tb, nil), files)
	require.NoError(tb, err)
	return instance.Start(tb, dir, a)
}

func TestSmoke(t *testing.T) {
	in := start(t, map[string]string{"main.py": `
def handle(event, context):
    print("called", context.function)
    return {"words": len(event.split()), "ctx": [context.function, context.revision, context.method, context.path]}
`})
	status, answer, err := in.Post(t.Context(), "text/plain", "one two three")
	require.NoError(t, err)
	assert.Equal(t, 200, status)
	assert.JSONEq(t, `{"words": 3, "ctx": ["hello", "hello-7", "POST", "/"]}`, answer)
}
