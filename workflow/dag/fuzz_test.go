package dag_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/programtest"
)

// Whatever compiles can be run and restored, and nothing panics.
func FuzzDefinition(f *testing.F) {
	f.Add(everything, `{"dir": "x"}`)
	f.Add(wide, "[1, 2]")
	f.Add(`{"tasks": {"a": {"input": {"join": [{"from": "input[0].k"}]}}}}`, `[{"k": "\u00e9"}]`)
	for _, bad := range invalid {
		f.Add(bad.Source, "1")
	}
	f.Fuzz(func(t *testing.T, source, input string) {
		d := &workflow.Definition{Source: source}
		p, err := dag.Language().Compile(d)
		if err != nil {
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
			return
		}
		spec, err := dag.Parse(source)
		require.NoError(t, err)
		require.NotEmpty(t, spec.Tasks)
		e := workflow.Event{Seq: 1, Kind: workflow.ExecutionStarted, Time: programtest.Epoch(), Payload: workflow.JSON(input), Start: &workflow.Start{}}
		s, _, err := p.Step(nil, &e)
		require.NoError(t, err)
		b, err := p.Snapshot(s)
		require.NoError(t, err)
		s, err = p.Restore(b, nil)
		require.NoError(t, err)
		again, err := p.Snapshot(s)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzRestore(f *testing.F) {
	d := &workflow.Definition{Source: everything}
	p, err := dag.Language().Compile(d)
	require.NoError(f, err)
	s, _, err := p.Step(nil, &workflow.Event{Seq: 1, Kind: workflow.ExecutionStarted, Time: programtest.Epoch(), Start: &workflow.Start{}})
	require.NoError(f, err)
	b, err := p.Snapshot(s)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := p.Restore(b, nil)
		if err != nil {
			require.ErrorIs(t, err, faas.ErrCorrupt)
			return
		}
		_, err = p.Snapshot(s)
		require.NoError(t, err)
	})
}
