// Package drivertest is the conformance kit of the driver contract: every driver, ours or
// a third party's, direct, wrapped or across a plugin boundary, runs the same clauses.
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, drivertest.Harness{
//			Open:      func(tb testing.TB) driver.Driver { return open(tb) },
//			Task:      func(tb testing.TB, b drivertest.Behaviour) driver.Task { ... },
//			Leftovers: func(tb testing.TB) []string { ... },
//		})
//	}
//
// It assumes nothing of the process that the driver runs in, and finds optional powers
// with driver.Find. A capability that Info declares must work, and one that it does not
// declare must be refused. The names of the subtests are stable.
//
// # Instances
//
// The kit needs instances that behave. Each [Behaviour] says how, and which requests
// they answer, in the form of an HTTP path with a query. A harness whose driver
// cannot run such a thing skips the clause with tb.Skip and a reason. The program
// internal/testfunction of this project has all of them; it is a model for others.
package drivertest

import (
	"context"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Harness is how the kit reaches a driver.
type Harness struct {
	// Open returns a driver that runs nothing. The kit closes it. Required.
	Open func(tb testing.TB) driver.Driver
	// Task returns a task that behaves so; the kit sets its ID and may set its labels, timeouts
	// and limits. It calls tb.Skip with a reason when the driver cannot run such a thing. Required.
	Task func(tb testing.TB, b Behaviour) driver.Task
	// Call sends a request to the instance at the endpoint. Nil: HTTP/1.1 to it.
	Call func(ctx context.Context, ep driver.Endpoint, req *faas.Request) (*faas.Response, error)
	// Leftovers names everything that is left of the tasks of all drivers that Open returned:
	// processes, sockets, directories, containers. It is asked when nothing must be
	// left. Nil: there can be nothing outside of the driver.
	Leftovers func(tb testing.TB) []string
	// Limits has, for each limit that Info declares, a proof that it bites: a function that
	// starts a task with the limit on d, lets it go over it and fails tb unless it was
	// held. The keys are the JSON names of faas.Resources: "memory", "pids", ...
	Limits map[string]func(tb testing.TB, d driver.Driver)
	// Crash ends the process that d lives in, as kill -9 does, and returns another driver that can adopt
	// its tasks; the kit closes that one and not d. Nil: the harness cannot, and the clauses that need it are skipped.
	Crash func(tb testing.TB, d driver.Driver) driver.Driver
}

// Behaviour is what an instance does.
type Behaviour string

// The behaviours. All that serve answer
//
//	/echo              with the body of the request
//	/stream?n=&ms=     with n lines "chunk 0", "chunk 1", ..., each flushed, ms milliseconds apart
const (
	// Serve: it is ready soon, serves, and drains when it is asked to end.
	Serve Behaviour = "serve"
	// IgnoreTerm: it serves, and ends by force only.
	IgnoreTerm Behaviour = "ignore-term"
	// NeverReady: it runs but never serves.
	NeverReady Behaviour = "never-ready"
	// ExitEarly: it ends with exit code 3 before it is ready.
	ExitEarly Behaviour = "exit-early"
	// Missing: the program does not exist.
	Missing Behaviour = "missing"
	// Environment: it serves, and answers /env with its environment as a JSON object.
	Environment Behaviour = "environment"
	// Exit: it serves, and ends with exit code N without an answer at /exit?code=N.
	Exit Behaviour = "exit"
	// Crash: it serves, and is killed by SIGKILL without an answer at /crash.
	Crash Behaviour = "crash"
	// OutOfMemory: it serves under a memory limit, and goes over it at /alloc?mb=1024.
	OutOfMemory Behaviour = "out-of-memory"
	// Log: it serves, and writes one line at /log?text=T&stream=S; S is stdout or stderr.
	Log Behaviour = "log"
	// Image: it serves, and runs in an OCI image, with the command of the image.
	Image Behaviour = "image"
	// MissingImage: it would run in an OCI image that cannot be had.
	MissingImage Behaviour = "missing-image"
	// Descend: it serves, and at /daemon starts a process in a session of its own that outlives it.
	Descend Behaviour = "descend"
)

type clause struct {
	name  string
	check func(*fixture)
}

type group struct {
	name    string
	clauses []clause
}

func groups() []group {
	return []group{
		{"info", infoClauses()},
		{"start", startClauses()},
		{"start-failure", startFailureClauses()},
		{"cancel", cancelClauses()},
		{"stop", stopClauses()},
		{"list", listClauses()},
		{"watch", watchClauses()},
		{"exit", exitClauses()},
		{"limit", limitClauses()},
		{"logs", logClauses()},
		{"image", imageClauses()},
		{"pause", pauseClauses()},
		{"stats", statsClauses()},
		{"recover", recoverClauses()},
		{"many", manyClauses()},
		{"lifecycle", lifecycleClauses()},
	}
}

// Run checks every clause of the driver contract, each on a driver of its own, in a
// subtest named group/clause.
func Run(t *testing.T, h Harness) {
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.clauses {
				t.Run(c.name, func(t *testing.T) { c.run(t, h) })
			}
		})
	}
}

func (c clause) run(tb testing.TB, h Harness) {
	if h.Open == nil || h.Task == nil {
		tb.Fatal("drivertest: Harness.Open and Harness.Task are required")
	}
	c.check(open(tb, h))
}
