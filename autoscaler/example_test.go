package autoscaler_test

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
)

func ExampleNewLoop() {
	kpa, err := concurrency.New(concurrency.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fn := function("hello", "1", 10, faas.Scale{})
	r := newStage(fn) // stands for a router.Router
	r.demand(fn, 20, 0)

	loop, err := autoscaler.NewLoop(autoscaler.LoopConfig{
		Source: r, Target: r,
		Policy:         func(faas.Function) autoscaler.Policy { return kpa },
		Tick:           20 * time.Millisecond,
		SampleInterval: 10 * time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- loop.Run(ctx) }()
	for r.ready(fn) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	fmt.Println(<-ended)
	for _, d := range loop.Decisions(faas.Ref{Name: "hello"}) {
		if !d.Hold {
			fmt.Println(d.Function, d.From, "->", d.Instances)
		}
	}
	// Output:
	// <nil>
	// default/hello@1 0 -> 3
}
