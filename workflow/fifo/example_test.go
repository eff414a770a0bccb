package fifo_test

import (
	"fmt"
	"time"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/fifo"
)

func ExampleNew() {
	s := fifo.New(&fifo.Options{Pools: map[string]int{"gpu": 1}})
	now := time.Now()
	steps := []*workflow.ReadyStep{
		{Step: "train", Pool: "gpu", Slots: 1},
		{Step: "render", Pool: "gpu", Slots: 1},
		{Step: "mail", Slots: 1},
	}
	for _, step := range steps {
		s.Ready(now, step)
	}
	var d workflow.Decision
	s.Next(now, &d)
	for _, step := range d.Run {
		fmt.Println("run", step.Step)
	}
	fmt.Println("render waits:", s.Explain(now, steps[1]))
	// Output:
	// run train
	// run mail
	// render waits: pool gpu: 1 of 1 slots are in use
}
