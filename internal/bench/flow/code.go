package flow

import (
	"github.com/joinery/faas/workflow/durable"
)

// The trees as Go functions: what the peers' own programs look like too.

var codeSequence = durable.Workflow("sequence", "1", func(ctx durable.Context, steps int) (int, error) {
	sum := 0
	for range steps {
		next, err := durable.Call[int](ctx, function, sum, nil).Get()
		if err != nil {
			return 0, err
		}
		sum = next
	}
	return sum, nil
})

var codeParallel = durable.Workflow("parallel", "1", func(ctx durable.Context, steps int) (int, error) {
	branches := make([]durable.Future[int], steps)
	for i := range branches {
		branches[i] = durable.Call[int](ctx, function, i, nil)
	}
	sum := 0
	for _, branch := range branches {
		value, err := branch.Get()
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
})

// code is the function of a tree.
func code(t Tree) durable.Code {
	if t.Parallel {
		return codeParallel
	}
	return codeSequence
}
