package keepalive_test

import (
	"fmt"
	"time"

	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/keepalive"
)

func ExampleNew() {
	p, err := keepalive.New(keepalive.Config{KeepAlive: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	busy := []autoscaler.Point{{Time: at, Concurrency: 2.5, Arrivals: 9}}
	d := p.Decide(at, autoscaler.Samples{History: busy, Concurrency: 1})
	fmt.Println(d.Instances, "-", d.Why)
	for _, later := range []time.Duration{59 * time.Second, 60 * time.Second} {
		d = p.Decide(at.Add(later), autoscaler.Samples{Ready: 3, Concurrency: 1, State: d.State})
		fmt.Println(d.Instances, "-", d.Why)
	}
	// Output:
	// 3 - needs 3, and at most 3 in the last 1m0s; want 3
	// 3 - needs 0, and at most 3 in the last 1m0s; want 3
	// 0 - needs 0, and at most 0 in the last 1m0s; want 0
}
