package autoscalertest

import (
	"testing"
	"time"

	"github.com/joinery/faas"
)

// enough: a steady demand fits into the instances, at any hard limit.
func enough(tb testing.TB, h Harness) {
	for _, limit := range []int{1, 10, 100} {
		for _, demand := range []float64{0.01, 0.99, 1, 7.5, 100, 1234} {
			w := open(tb, h)
			w.like.Concurrency = limit
			w.steady(h.Settle, demand)
			w.run(time.Minute, func(time.Duration) float64 {
				if n := w.instances(); n < w.needed(demand) {
					tb.Fatalf("%d instances of concurrency %d for a steady demand of %v", n, limit, demand)
				}
				return demand
			})
		}
	}
}

// monotonic: more demand never ends with fewer instances.
func monotonic(tb testing.TB, h Harness) {
	last := -1
	for _, demand := range []float64{0.5, 1, 5, 9, 10, 11, 50, 51, 99, 500, 5000} {
		w := open(tb, h)
		w.steady(h.Settle, demand)
		if n := w.instances(); n < last {
			tb.Errorf("%d instances for a demand of %v, %d for less", n, demand, last)
		} else {
			last = n
		}
	}
}

func zeroWhenIdle(tb testing.TB, h Harness) {
	for _, demand := range []float64{0.01, 1, 300} {
		w := open(tb, h)
		w.steady(h.Settle, demand)
		if w.instances() == 0 {
			tb.Fatalf("no instance for a demand of %v", demand)
		}
		w.steady(h.Idle+tick, 0)
		if n := w.instances(); n != 0 {
			tb.Errorf("%d instances %v after the end of a demand of %v", n, h.Idle, demand)
		}
		w.run(time.Minute, func(time.Duration) float64 {
			if n := w.instances(); n != 0 {
				tb.Fatalf("%d instances came back without any demand", n)
			}
			return 0
		})
	}
}

// fromZero: the very next decision after a request brings an instance.
func fromZero(tb testing.TB, h Harness) {
	for _, idle := range []time.Duration{0, h.Idle + tick, time.Hour} {
		w := open(tb, h)
		w.steady(idle, 0)
		w.steady(tick, 0.1)
		if w.instances() == 0 {
			tb.Errorf("no instance %v after a request that came after %v of nothing", tick, idle)
		}
	}
}

// flapping: demand that comes and goes every 5 s for 10 minutes changes the number of
// instances no more often than it changes itself, exceeds no bound, and starves nobody.
func flapping(tb testing.TB, h Harness) {
	const half, length = 5 * time.Second, 10 * time.Minute
	w := open(tb, h)
	w.like.Scale = faas.Scale{Max: 80}
	demand := func(t time.Duration) float64 {
		if (t/half)%2 == 0 {
			return 1000
		}
		return 0
	}
	w.run(h.Settle, demand)
	changes, last := 0, w.instances()
	w.run(length, func(t time.Duration) float64 {
		n := w.instances()
		if n != last {
			changes++
		}
		if last = n; n == 0 {
			tb.Fatalf("no instance %v into a demand that comes and goes", t)
		}
		return demand(t)
	})
	if edges := int(length / half); changes > edges {
		tb.Errorf("%d changes of the number of instances for %d changes of the demand", changes, edges)
	}
}
