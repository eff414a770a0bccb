// Package schedulertest is the conformance kit of the workflow scheduler: one named subtest for each
// promise of [workflow.Scheduler] and, where a scheduler is one, of [workflow.Learner]. Every
// implementation, ours or anyone's, runs it:
//
//	func TestConformance(t *testing.T) {
//		schedulertest.Run(t, schedulertest.Harness{
//			New: func(tb testing.TB, l schedulertest.Limits) workflow.Scheduler {
//				return fifo.New(&fifo.Options{Limit: l.Steps, Pools: l.Pools})
//			},
//		})
//	}
//
// Time is virtual by construction: a scheduler reads no clock, and the kit passes the time. It imports nothing but
// the standard library and the contract. Subtest names are part of its interface: they are the keys of Harness.Skip.
package schedulertest

import (
	"testing"
	"time"

	"github.com/joinery/faas/workflow"
)

// Limits are what a scheduler is made with.
type Limits struct {
	// Steps is how many steps run at once. Zero: no limit.
	Steps int
	// Pools are the slots of the named pools.
	Pools map[string]int
}

// Harness makes the schedulers that Run tests.
type Harness struct {
	// New returns a new scheduler with these limits and no others. Required.
	New func(tb testing.TB, l Limits) workflow.Scheduler
	// Priorities: it runs steps of a higher priority first. Otherwise it must run them as they come.
	Priorities bool
	// Prewarms: it is a workflow.Learner that asks for functions that are expected. Otherwise it must never ask.
	Prewarms bool
	// Patience is how long a step may be overtaken by others of a priority higher by one. Zero: an hour.
	Patience time.Duration
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

type clause struct {
	name  string
	check func(tb testing.TB, h Harness)
}

func clauses() (all []clause) {
	for _, list := range [][]clause{runClauses, limitClauses, orderClauses, decisionClauses, learnerClauses, prewarmClauses} {
		all = append(all, list...)
	}
	return all
}

// Run tests every promise of a workflow.Scheduler.
func Run(t *testing.T, h Harness) {
	if h.New == nil {
		t.Fatal("schedulertest: Harness.New is required")
	}
	known := make(map[string]bool)
	for _, c := range clauses() {
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := h.Skip[c.name]; ok {
				t.Skip(reason)
			}
			c.check(t, h)
		})
	}
	for name := range h.Skip {
		if !known[name] {
			t.Errorf("schedulertest: Skip names %q, which is no subtest", name)
		}
	}
}
