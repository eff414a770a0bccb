package autoscalertest

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
)

func window(tb testing.TB, h Harness) {
	w := open(tb, h)
	first := w.policy.Window()
	if first <= 0 {
		tb.Fatalf("Window is %v, want it positive", first)
	}
	w.steady(time.Minute, 5)
	if again := w.policy.Window(); again != first {
		tb.Errorf("Window was %v and is %v", first, again)
	}
}

// wandering is a demand with bursts, pauses and a long idle part.
func wandering(seed uint64) func(time.Duration) float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	level := 0.
	return func(time.Duration) float64 {
		switch r.IntN(30) {
		case 0:
			level = 0
		case 1:
			level = r.Float64() * 1000
		case 2:
			level *= 2
		case 3:
			level /= 3
		}
		return level
	}
}

// pure: the same arguments give the same decision, also concurrently, and are not changed.
func pure(tb testing.TB, h Harness) {
	w := open(tb, h)
	for range 100 {
		w.run(tick, wandering(uint64(len(w.seen))))
		s, given := w.samples(), slices.Clone(w.points)
		first := w.policy.Decide(w.now, s)
		if !slices.Equal(s.History, given) {
			tb.Fatal("Decide changed the history")
		}
		var wg sync.WaitGroup
		again := make([]autoscaler.Decision, 4)
		for i := range again {
			wg.Go(func() { again[i] = w.policy.Decide(w.now, s) })
		}
		wg.Wait()
		for _, d := range again {
			if !reflect.DeepEqual(d, first) {
				tb.Fatalf("the same arguments gave %+v and %+v", first, d)
			}
		}
	}
}

// stateUnchanged: every decision of a long run can be taken again from the state of its time.
func stateUnchanged(tb testing.TB, h Harness) {
	w := open(tb, h)
	w.run(10*time.Minute, wandering(1))
	for i, was := range w.seen {
		if again := w.policy.Decide(was.at, was.samples); !reflect.DeepEqual(again, was.Decision) {
			tb.Fatalf("decision %d was %+v and is %+v from the same state", i, was.Decision, again)
		}
	}
}

// explains: with the number that was decided.
func explains(tb testing.TB, h Harness) {
	w := open(tb, h)
	w.decide() // without any data
	w.run(5*time.Minute, wandering(2))
	for _, d := range w.seen {
		if !d.Hold && !slices.Contains(numbers(d.Why), strconv.Itoa(d.Instances)) {
			tb.Fatalf("the explanation of %d instances does not say so: %q", d.Instances, d.Why)
		}
	}
}

// numbers are the whole numbers in a text.
func numbers(s string) (all []string) {
	start := -1
	for i, c := range s + " " {
		digit := c >= '0' && c <= '9'
		if digit && start < 0 {
			start = i
		} else if !digit && start >= 0 {
			all, start = append(all, s[start:i]), -1
		}
	}
	return all
}

// bounds: world.decide checks them with each decision.
func bounds(tb testing.TB, h Harness) {
	for i, scale := range []faas.Scale{{}, {Max: 1}, {Min: 2}, {Min: 3, Max: 3}, {Min: 1, Max: 20}, {Max: 7, Target: 0.5}, {Min: 50, Initial: 60}} {
		for _, limit := range []int{0, 1, 80} {
			w := open(tb, h)
			w.like.Scale, w.like.Concurrency = scale, limit
			w.run(5*time.Minute, wandering(uint64(i)))
			w.steady(h.Idle+tick, 0)
			if w.instances() != scale.Min {
				tb.Errorf("%d instances after %v without demand, bounds %+v", w.instances(), h.Idle, scale)
			}
		}
	}
}

// retired: Scale.Min holds no longer for a version whose place was taken.
func retired(tb testing.TB, h Harness) {
	w := open(tb, h)
	w.like.Scale.Min = 3
	w.steady(h.Settle, 0)
	w.like.Retired = true
	w.steady(h.Idle+tick, 0)
	if n := w.instances(); n != 0 {
		tb.Errorf("%d instances of a retired version %v after it was retired", n, h.Idle)
	}
	w.steady(h.Settle, 25)
	if n := w.instances(); n < w.needed(25) {
		tb.Errorf("%d instances of a retired version that still has requests", n)
	}
}
