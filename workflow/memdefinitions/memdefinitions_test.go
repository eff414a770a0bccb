package memdefinitions_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/definitionstest"
	"github.com/joinery/faas/workflow/memdefinitions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func harness() definitionstest.Harness {
	return definitionstest.Harness{Open: func(tb testing.TB, languages *workflow.Languages) workflow.Registry {
		r, err := memdefinitions.New(languages)
		require.NoError(tb, err)
		return r
	}}
}

func TestConformance(t *testing.T) { definitionstest.Run(t, harness()) }

func BenchmarkRegistry(b *testing.B) { definitionstest.Bench(b, harness()) }

func TestNewNeedsLanguages(t *testing.T) {
	_, err := memdefinitions.New(nil)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
}
