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
// Time is virtual by construction: a scheduler reads no clock, and the kit passes the time. It needs nothing but
// the standard library and the contract. Subtest names are part of its interface: they are the keys of Harness.Skip.
package schedulertest

import (
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas/internal/kit"
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

type clause = kit.Clause[Harness]

func clauses() []clause {
	return slices.Concat(runClauses, limitClauses, orderClauses, decisionClauses, learnerClauses, prewarmClauses)
}

// Run tests every promise of a workflow.Scheduler.
func Run(t *testing.T, h Harness) {
	if h.New == nil {
		t.Fatal("schedulertest: Harness.New is required")
	}
	kit.Run(t, clauses(), h.Skip, func(testing.TB) Harness { return h })
}
