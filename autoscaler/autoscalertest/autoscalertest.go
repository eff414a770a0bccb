// Package autoscalertest is the conformance kit of autoscaler.Policy: what holds for
// every policy, whatever it aims at. It runs in virtual time.
//
//	func TestConformance(t *testing.T) {
//		autoscalertest.Run(t, autoscalertest.Harness{
//			Policy: func(tb testing.TB) autoscaler.Policy { return policy(tb) },
//			Settle: 2 * time.Minute,
//			Idle:   3 * time.Minute,
//		})
//	}
//
// The names of the subtests are stable.
package autoscalertest

import (
	"testing"
	"time"

	"github.com/joinery/faas/autoscaler"
)

// Harness is how the kit gets a policy.
type Harness struct {
	// Policy returns a policy that scales to zero when nothing is needed. Required.
	Policy func(tb testing.TB) autoscaler.Policy
	// Settle is the time in which the policy has enough instances for a steady demand. Required.
	Settle time.Duration
	// Idle is the time after the last request in which it is at zero. Required.
	Idle time.Duration
}

type clause struct {
	name  string
	check func(testing.TB, Harness)
}

func clauses() []clause {
	return []clause{
		{"window", window},
		{"pure", pure},
		{"state-unchanged", stateUnchanged},
		{"explains", explains},
		{"bounds", bounds},
		{"retired", retired},
		{"enough", enough},
		{"monotonic", monotonic},
		{"zero-when-idle", zeroWhenIdle},
		{"from-zero", fromZero},
		{"flapping", flapping},
		{"hostile-samples", hostileSamples},
		{"foreign-state", foreignState},
		{"clock-set", clockSet},
		{"time-shift", timeShift},
	}
}

// Run checks every clause of the policy contract in a subtest of its name.
func Run(t *testing.T, h Harness) {
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

func (c clause) run(tb testing.TB, h Harness) {
	if h.Policy == nil || h.Settle <= 0 || h.Idle <= 0 {
		tb.Fatal("autoscalertest: Harness.Policy, Settle and Idle are required")
	}
	c.check(tb, h)
}

// Bench measures one decision over a full window.
func Bench(b *testing.B, h Harness) {
	w := open(b, h)
	w.steady(w.policy.Window(), 50)
	s := w.samples()
	b.ReportAllocs()
	for b.Loop() {
		s.State = w.policy.Decide(w.now, s).State
	}
}
