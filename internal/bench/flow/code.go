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

// codeWaiting calls the function for every item, all at once, and then waits for a signal.
var codeWaiting = durable.Workflow("waiting", "1", func(ctx durable.Context, items int) (int, error) {
	branches := make([]durable.Future[int], items)
	for i := range branches {
		branches[i] = durable.Call[int](ctx, function, i, nil)
	}
	for _, branch := range branches {
		if _, err := branch.Get(); err != nil {
			return 0, err
		}
	}
	return durable.Receive[int](ctx, goOn, 0).Get()
})

// goOn is the signal that codeWaiting waits for.
const goOn = "go-on"

// codeMap maps the function over so many items, at most mapWidth of them at a time, and sums.
var codeMap = durable.Workflow("map", "1", func(ctx durable.Context, items int) (int, error) {
	out, err := durable.Map(ctx, make([]struct{}, items), mapWidth, func(ctx durable.Context, i int, _ struct{}) (int, error) {
		return durable.Call[int](ctx, function, i, nil).Get()
	})
	sum := 0
	for _, v := range out {
		sum += v
	}
	return sum, err
})

const mapWidth = 100

// code is the function of a tree.
func code(t Tree) durable.Code {
	if t.Parallel {
		return codeParallel
	}
	return codeSequence
}
