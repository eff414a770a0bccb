package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	engine "github.com/joinery/faas/internal/require"
)

func TestSuites(t *testing.T) {
	for _, s := range suites() {
		t.Run(s.name, func(t *testing.T) {
			folder, err := folderOf(s, "")
			engine.Engine(t, "data", !errors.Is(err, errNoData), fmt.Sprint(err))
			require.NoError(t, err)
			var counts tally
			require.NoError(t, s.run(folder, &counts))
			require.NotZero(t, counts.total)
			require.Empty(t, counts.failures)
		})
	}
}

func TestAFailureIsCounted(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "workflow", "fission-workflows")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("good.wf.yaml", "output: A\ntasks:\n  A: {run: f}\n")
	write("fails.wf.yaml", "output: A\ntasks:\n  A: {run: fail}\n")
	write("broken.wf.yaml", "output: B\ntasks:\n  A: {run: f}\n")
	write("throws.wf.yaml", "output: A\ntasks:\n  A: {run: noop, inputs: \"{ nothing.at.all }\"}\n")
	var out, errs strings.Builder
	require.Equal(t, 1, run([]string{"fission-workflows", "-data", dir, "-v"}, &out, &errs))
	require.Contains(t, out.String(), "suite fission-workflows passed 2 of 4\n")
	require.Contains(t, out.String(), "FAIL broken.wf.yaml")
	require.Contains(t, out.String(), "FAIL throws.wf.yaml")
}

func TestMissingDataIsSaid(t *testing.T) {
	var out, errs strings.Builder
	require.Equal(t, 2, run([]string{"-data", t.TempDir(), "airflow-trigger-rules"}, &out, &errs))
	require.Contains(t, errs.String(), "JOINERY_DATA")
	require.Equal(t, 2, run([]string{"nothing"}, &out, &errs))
	require.Equal(t, 0, run(nil, &out, &errs))
	require.Contains(t, out.String(), "airflow-trigger-rules")
}
