package autoscalertest

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
)

// hostileSamples: whatever the samples are, there is a decision within the bounds, and
// good samples after bad ones heal the policy.
func hostileSamples(tb testing.TB, h Harness) {
	values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e18}
	counts := []int{-1, 0, 1, math.MaxInt32, math.MaxInt, math.MinInt}
	at := noon()
	times := []time.Time{{}, at.AddDate(-400, 0, 0), at, at, at.Add(-time.Second), at.AddDate(200, 0, 0)}
	for i, v := range values {
		for j, c := range counts {
			w := open(tb, h)
			for k, t := range times {
				w.points = append(w.points, autoscaler.Point{Time: t, Concurrency: v, Arrivals: values[(i+k)%len(values)]})
			}
			w.like.Ready, w.like.Starting, w.like.Concurrency = c, counts[(j+1)%len(counts)], counts[(j+2)%len(counts)]
			w.like.Scale = faas.Scale{Max: 10, Target: v, KeepAlive: time.Duration(c)}
			w.decide()
			w.like.Scale = faas.Scale{}
			w.decide()
			w.now = time.Time{}
			w.decide()
			w.now = at.Add(time.Hour)
			w.points = []autoscaler.Point{{Time: w.now, Concurrency: v}}
			w.like.Ready, w.like.Starting, w.like.Concurrency = 1, 0, 10
			w.decide()
			w.points = []autoscaler.Point{{Time: w.now}}
			w.next = time.Time{}
			w.steady(max(h.Settle, h.Idle), 25)
			if n := w.instances(); n < w.needed(25) {
				tb.Fatalf("%d instances for a demand of 25 after samples of %v", n, v)
			}
		}
	}
}

// foreignState: a state that another policy left is as good as none.
func foreignState(tb testing.TB, h Harness) {
	w := open(tb, h)
	w.steady(time.Minute, 25)
	s := w.samples()
	s.State = nil
	want := w.policy.Decide(w.now, s)
	for _, state := range []any{0, "state", &struct{ a int }{1}, fmt.Errorf("state"), (*int)(nil)} {
		s.State = state
		if got := w.policy.Decide(w.now, s); !reflect.DeepEqual(got, want) {
			tb.Errorf("with a state of %T: %+v, without any %+v", state, got, want)
		}
	}
}

// clockSet: a wall clock that is set, as far as a day either way, passes.
func clockSet(tb testing.TB, h Harness) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		for _, demand := range []float64{0, 55} {
			w := open(tb, h)
			w.steady(h.Settle, 55)
			w.now = w.now.Add(by)
			w.next = time.Time{}
			for len(w.points) > 0 && w.points[len(w.points)-1].Time.After(w.now) {
				w.points = w.points[:len(w.points)-1] // as the loop does
			}
			w.steady(max(h.Settle, h.Idle)+tick, demand)
			if n, need := w.instances(), w.needed(demand); n < need || demand == 0 && n > 0 {
				tb.Errorf("%d instances for a demand of %v after the clock was set by %v", n, demand, by)
			}
		}
	}
}

// timeShift: what day it is has no influence.
func timeShift(tb testing.TB, h Harness) {
	run := func(days int) (all []int) {
		w := open(tb, h)
		w.now = w.now.AddDate(0, 0, days)
		w.run(10*time.Minute, wandering(3))
		for _, d := range w.seen {
			all = append(all, d.Instances)
		}
		return all
	}
	want := run(0)
	for _, days := range []int{1, 6, 300} {
		if got := run(days); !reflect.DeepEqual(got, want) {
			tb.Fatalf("%d days later the decisions are %v, not %v", days, got, want)
		}
	}
}
