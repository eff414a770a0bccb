package concurrency_test

import (
	"fmt"
	"time"

	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
)

func ExampleNew() {
	kpa, err := concurrency.New(concurrency.Config{Target: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	burst := []autoscaler.Point{{Time: at, Concurrency: 20}}
	d := kpa.Decide(at, autoscaler.Samples{History: burst, Ready: 1})
	fmt.Println(d.Why)
	// Output:
	// concurrency 20 over 1m0s, 20 over 6s, target 7: need 3, 3 with 1 ready; panicking, so not below 3; want 3
}
