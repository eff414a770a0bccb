// Package flow measures workflow engines by the same two trees in a closed loop: the
// product, the baselines that no engine can beat, and, for those who bring them, peers.
package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/faas/internal/bench/loop"
)

// Tree is one workflow that every engine runs.
type Tree struct {
	Name string
	// Steps in sequence, each of which adds one to the number it is given, from 0; or,
	// in parallel, step i gives i from 1, and the join sums them.
	Steps    int
	Parallel bool
}

// The trees of the figures.
var (
	seq5   = Tree{Name: "seq5", Steps: 5}
	par100 = Tree{Name: "par100", Steps: 100, Parallel: true}
)

// Trees are 5 steps in sequence, and 100 in parallel then a join.
func Trees() []Tree { return []Tree{seq5, par100} }

// Want is the result of a correct run.
func (t Tree) Want() int {
	if t.Parallel {
		return t.Steps * (t.Steps + 1) / 2
	}
	return t.Steps
}

// Engine runs a tree once, from start to end, and returns its result.
type Engine interface {
	Run(ctx context.Context, t Tree) (int, error)
}

// Measure runs the tree on the engine from so many clients, each of them one run after
// another, for the duration, and checks every result.
func Measure(e Engine, t Tree, clients int, d time.Duration) (loop.Load, error) {
	ctx, done := context.WithTimeout(context.Background(), d+time.Minute)
	defer done()
	return loop.Repeat(func() error {
		got, err := e.Run(ctx, t)
		if err == nil && got != t.Want() {
			err = fmt.Errorf("%s gave %d, not %d", t.Name, got, t.Want())
		}
		return err
	}, clients, d)
}
