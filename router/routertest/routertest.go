// Package routertest is the conformance kit of the function router (F5): it checks
// that a router.Router keeps what package router promises.
//
//	func TestConformance(t *testing.T) {
//		routertest.Run(t, routertest.Harness{
//			Open: func(tb testing.TB, c routertest.Config) router.Router {
//				r, err := memrouter.New(memrouter.Config{
//					Resolver: c.Resolver, Deployer: c.Deployer,
//					QueueDepth: c.QueueDepth, QueueBytes: c.QueueBytes,
//				})
//				if err != nil {
//					tb.Fatal(err)
//				}
//				return r
//			},
//		})
//	}
//
// The kit brings its own functions and its own deployer of in-process instances, so that it
// decides when an instance is ready, slow, broken or gone. Every clause is a subtest
// with a router of its own.
//
// # Errors
//
// A broken promise is reported with testing.TB.Errorf or Fatalf by the clause that found it.
//
// # Concurrency
//
// The clauses run one after another and wait for events, at most Patience for each.
package routertest

import (
	"testing"
	"time"

	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router"
)

// Patience is how long a clause waits for something that has to happen.
const Patience = 20 * time.Second

// Harness makes the router under test.
type Harness struct {
	// Open returns a new router with the given parts and bounds, not started. Required.
	// The kit starts it and shuts it down.
	Open func(tb testing.TB, c Config) router.Router
	// Skip names clauses that do not hold, each with the public reason.
	Skip map[string]string
}

// Config is what a router under test is made of.
type Config struct {
	Resolver router.Resolver
	Deployer deployer.Deployer
	// QueueDepth and QueueBytes bound the queue of each function; zero: the router's defaults.
	QueueDepth int
	QueueBytes int64
}

// clause is one promise and how it is checked.
type clause struct {
	name  string
	check func(tb testing.TB, h Harness)
}

// clauses is every promise, in the order of a request's way.
func clauses() []clause {
	return []clause{
		{"resolve/unknown-is-not-found", resolveUnknown},
		{"resolve/versions-and-aliases", resolveVersions},
		{"answer/passed-through", answerPassed},
		{"queue/first-in-first-out", queueFIFO},
		{"queue/bounded-by-depth", queueDepth},
		{"queue/bounded-by-bytes", queueBytes},
		{"queue/left-at-the-deadline", queueDeadline},
		{"queue/left-when-cancelled", queueCancel},
		{"slots/late-binding", lateBinding},
		{"slots/concurrency-limit", concurrencyLimit},
		{"slots/least-outstanding", leastOutstanding},
		{"slots/stream-holds-its-slot", streamHolds},
		{"deadline/function-timeout-travels", timeoutTravels},
		{"deadline/cancel-reaches-the-function", cancelReaches},
		{"start/coalesced-exactly", startsExact},
		{"start/shared-by-waiters", startShared},
		{"start/abandoned-is-cancelled", startAbandoned},
		{"start/failure-is-told", startFailureTold},
		{"start/failure-backs-off", startBacksOff},
		{"retry/only-unreached", retryUnreached},
		{"retry/at-most-once", atMostOnce},
		{"retry/bounded", retryBounded},
		{"scale/up-and-down", scaleUpDown},
		{"scale/drains-before-stop", scaleDrains},
		{"scale/idle-first", scaleIdleFirst},
		{"scale/to-zero-races-calls", scaleZeroRace},
		{"health/ended-instance-is-replaced", endedReplaced},
		{"health/last-is-never-ejected", lastNeverEjected},
		{"observe/timings", timings},
		{"observe/loads", loads},
		{"lifecycle/closed-around", closedAround},
		{"lifecycle/shutdown-drains", shutdownDrains},
		{"lifecycle/shutdown-cut-short", shutdownCut},
	}
}

// Run checks every clause, each as a subtest.
func Run(t *testing.T, h Harness) {
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			if why, ok := h.Skip[c.name]; ok {
				t.Skip(why)
			}
			c.check(t, h)
		})
	}
}
