package autoscalertest

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas/autoscaler"
)

// tick is the time between two decisions, as in the loop.
const tick = 2 * time.Second

// world is one function version in virtual time: a policy, the demand it sees, and
// instances that are there as soon as they are wanted.
type world struct {
	testing.TB
	policy autoscaler.Policy
	now    time.Time
	next   time.Time // decision
	like   autoscaler.Samples
	points []autoscaler.Point
	seen   []decided
}

// decided is a decision with all that led to it.
type decided struct {
	at      time.Time
	samples autoscaler.Samples
	autoscaler.Decision
}

// noon begins every world; the kit shifts and sets the clock from there.
func noon() time.Time { return time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC) }

func open(tb testing.TB, h Harness) *world {
	w := &world{TB: tb, policy: h.Policy(tb), now: noon()}
	w.like.Concurrency = 10
	return w
}

func (w *world) samples() autoscaler.Samples {
	s := w.like
	s.History = slices.Clone(w.points)
	return s
}

// run lets time pass under a demand that depends on the time since its beginning.
func (w *world) run(d time.Duration, demand func(time.Duration) float64) {
	w.Helper()
	for t := autoscaler.PointInterval; t <= d; t += autoscaler.PointInterval {
		w.now = w.now.Add(autoscaler.PointInterval)
		c := demand(t)
		w.points = append(w.points, autoscaler.Point{Time: w.now, Concurrency: c, Arrivals: c})
		for w.now.Sub(w.points[0].Time) >= w.policy.Window() && len(w.points) > 1 {
			w.points = w.points[1:]
		}
		if !w.now.Before(w.next) {
			w.decide()
			w.next = w.now.Add(tick)
		}
	}
}

func (w *world) steady(d time.Duration, demand float64) {
	w.Helper()
	w.run(d, func(time.Duration) float64 { return demand })
}

// decide asks the policy once and does what it says.
func (w *world) decide() autoscaler.Decision {
	w.Helper()
	s := w.samples()
	d := w.policy.Decide(w.now, s)
	w.seen = append(w.seen, decided{w.now, s, d})
	if d.Why == "" {
		w.Fatalf("a decision without an explanation: %+v of %+v", d, s)
	}
	w.like.State = d.State
	if !d.Hold {
		if n := s.Bound(d.Instances); n != d.Instances {
			w.Fatalf("%d instances are not within the bounds %+v: %s", d.Instances, s.Scale, d.Why)
		}
		w.like.Ready = d.Instances
	}
	return d
}

// instances is how many there are now.
func (w *world) instances() int { return w.like.Ready }

// needed is how many instances a demand keeps busy at least.
func (w *world) needed(demand float64) int {
	return int(math.Ceil(demand / float64(w.like.Concurrency)))
}
