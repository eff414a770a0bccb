package durabletest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow/durable"
)

func TestCodeThatIsNotDeterministicIsFound(t *testing.T) {
	outside := "a"
	code := durable.Workflow("w", "1", func(ctx durable.Context, in int) (int, error) {
		return 0, ctx.Signal(ctx.Execution(), outside, durable.Call[any](ctx, faas.Ref{Name: outside}, in, nil).Err())
	})
	Run(t, func(env *Env) {
		env.Start("w", 1).Wait()
		require.NoError(t, env.replay())
		outside = "b"
		err := env.replay()
		require.ErrorIs(t, err, faas.ErrConflict)
		require.ErrorContains(t, err, `history has step "a"`)
		outside = "a"
	}, code)
}
