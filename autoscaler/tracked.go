package autoscaler

import (
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router"
)

// tracked is what the loop knows of one version.
type tracked struct {
	fn     faas.Function
	policy Policy // nil: not scaled
	window time.Duration
	first  time.Time // when it was first seen
	seen   time.Time // when it last had demand or instances

	load  router.Load // of the last sample
	round uint64      // of the last sample that had it
	sum   float64     // of demand, in the samples of the present point
	peak  int         // of demand, since the last decision

	arrived uint64 // Load.Arrived at the end of the last point
	history []Point
	state   any
	last    Record
}

// unseen is the concurrency that a request too short for any sample stands for: one
// that took a millisecond. Otherwise a function that is called now and then and answers
// at once would look idle.
const unseen = 0.001

// endPoint appends the point that ends at end, of the given number of samples.
func (t *tracked) endPoint(end time.Time, samples int) {
	p := Point{Time: end, Concurrency: t.sum / float64(max(samples, 1))}
	if t.load.Arrived < t.arrived { // the source began to count anew
		t.arrived = 0
	}
	p.Arrivals = float64(t.load.Arrived - t.arrived)
	if p.Concurrency == 0 {
		p.Concurrency = p.Arrivals * unseen
	}
	t.sum, t.arrived = 0, t.load.Arrived
	// A wall clock that was set back must not leave points of the future.
	for n := len(t.history); n > 0 && !t.history[n-1].Time.Before(end); n-- {
		t.history = t.history[:n-1]
	}
	t.history = append(t.history, p)
	old, _ := slices.BinarySearchFunc(t.history, end.Add(-t.window), func(p Point, at time.Time) int { return p.Time.Compare(at) })
	if old > len(t.history)/2 { // at most twice the window is kept, at one copy for each window
		t.history = append([]Point(nil), t.history[old:]...)
	}
}

func (t *tracked) samples() Samples {
	return Samples{
		History:     slices.Clip(t.history),
		Ready:       t.load.Ready,
		Starting:    t.load.Starting,
		Concurrency: t.fn.Spec.MaxPerInstance(),
		Scale:       t.fn.Spec.Scale,
		State:       t.state,
	}
}

// standing is the number of instances wanted without any demand.
func (t *tracked) standing(now time.Time, s *Samples) int {
	if s.Retired {
		return 0
	}
	if now.Sub(t.first) < t.window {
		return s.Bound(s.Scale.Initial)
	}
	return s.Bound(0)
}
