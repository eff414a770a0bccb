// Package autoscaler is the contract of the function autoscaler, F6 of the SPEC-RG
// reference architecture: it monitors demand and supply and elastically scales the
// number of function instances, down to zero.
//
// The decision is a [Policy], a pure function, so that the same code runs live, in
// tests under virtual time and over traces. [Loop] runs policies against a router.
// Implementations are sub-packages: concurrency (Knative's KPA) and keepalive
// (a fixed keep-alive); autoscalertest is the conformance kit.
//
// # Snippet
//
//	kpa, err := concurrency.New(concurrency.Config{})
//	loop, err := autoscaler.NewLoop(autoscaler.LoopConfig{
//		Source: r, Target: r, // a router.Router is both
//		Functions: reg,       // a registry.Registry fits
//		Policy: func(faas.Function) autoscaler.Policy { return kpa },
//	})
//	go loop.Run(ctx)
//	...
//	for _, d := range loop.Decisions(fn.Ref) {
//		fmt.Println(d.Time, d.From, "->", d.Instances, d.Why)
//	}
//
// # Errors
//
// The classes of package faas.
//
// # Concurrency
//
// Policies are pure and safe for concurrent use; so are all methods of Loop.
package autoscaler

import (
	"time"

	"github.com/joinery/faas"
)

// Policy (F6) decides how many instances a function version should have. It is a
// pure function: the same time and samples give the same decision. What it must
// remember from one decision to the next it returns as Decision.State and gets
// back in Samples.State. So one Policy serves any number of functions.
type Policy interface {
	// Decide returns the decision at the given time.
	Decide(now time.Time, s Samples) Decision
	// Window is how far back Samples.History has to reach: positive, and always the same.
	Window() time.Duration
}

// Samples is what a policy sees of one function version.
type Samples struct {
	// History holds one point for each PointInterval, the oldest first, back to the
	// policy's Window or to when the function was first seen. The policy must not change or keep it.
	History []Point
	// Ready instances take requests; Starting ones are on their way.
	Ready, Starting int
	// Concurrency is the hard limit of requests per instance; 0 means unlimited.
	Concurrency int
	// Scale holds the function's own bounds and targets.
	Scale faas.Scale
	// Retired: newer versions have taken this one's place, so that Scale.Min does not hold
	// for it any more (Knative: the revision is not reachable).
	Retired bool
	// State is the State of the previous decision; nil at first.
	State any
}

// Bound returns n within the function's bounds: at least Scale.Min (0 when Retired),
// at most Scale.Max where that is set, and never negative.
func (s *Samples) Bound(n int) int {
	least := s.Scale.Min
	if s.Retired {
		least = 0
	}
	n = max(n, least, 0)
	if s.Scale.Max > 0 {
		n = min(n, s.Scale.Max)
	}
	return n
}

// PointInterval is the interval that one Point stands for.
const PointInterval = time.Second

// Point is the demand during one PointInterval.
type Point struct {
	// Time is the end of the interval that the point stands for.
	Time time.Time
	// Concurrency is the mean number of requests in flight and waiting during the interval.
	Concurrency float64
	// Arrivals is the number of requests that came in the interval.
	Arrivals float64
}

// Decision is what a policy decided and why.
type Decision struct {
	// Instances is the number wanted, within Scale's bounds. Ignored when Hold is set.
	Instances int
	// Hold: no decision can be made (no data, say); leave things as they are.
	Hold bool
	// Why explains the decision with its numbers, for the decision log.
	Why string
	// State is given back with the next Samples. It must not be changed after it was returned.
	State any
}
