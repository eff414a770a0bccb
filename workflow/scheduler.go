package workflow

import (
	"time"

	"github.com/joinery/faas"
)

// Scheduler is the workflow scheduler (W3): it decides which ready steps to run when. The
// engine tells it what happens and asks Next for decisions; it calls one method at a time and
// never with an earlier now. A scheduler starts nothing and reads no clock, so the same
// code runs live and in virtual time: its decisions are a function of the calls.
type Scheduler interface {
	// Ready says that a step waits to be run. s belongs to the scheduler until Next returns it or Withdraw takes it back.
	Ready(now time.Time, s *ReadyStep)
	// Withdraw takes back a step that is no longer wanted and was not returned by Next.
	Withdraw(now time.Time, s *ReadyStep)
	// Done says that a step that Next returned has ended, which frees what it held.
	Done(now time.Time, s *ReadyStep, r StepRecord)
	// Next appends to d what to do now, and sets d.Wake to when to ask again if nothing happens before;
	// zero for never. The engine asks after each of the calls above, and at Wake.
	Next(now time.Time, d *Decision)
	// Explain says, as a sentence, why a waiting step does not run yet: "pool gpu: 4 of 4 slots are in use".
	Explain(now time.Time, s *ReadyStep) string
}

// Learner is a Scheduler that plans ahead, from the shapes of workflows and from historical
// data. Called like the Scheduler's own methods.
type Learner interface {
	// Describe gives the graph of a workflow version before its first step is ready.
	Describe(workflow faas.Ref, g *Graph)
	// Observe gives the record of a step that ended before this process began, from the store.
	Observe(r StepRecord)
	// Ended says that an execution has ended: nothing of it comes any more.
	Ended(now time.Time, x ExecutionRef)
}

// ReadyStep is a step that waits to be run.
type ReadyStep struct {
	Execution ExecutionRef
	Workflow  faas.Ref
	Step      string
	Node      string
	// Function is what it calls.
	Function faas.Ref
	// Attempt is from 1. A retry is ready only when its delay has passed.
	Attempt int
	// Priority is the step's and the execution's: higher first.
	Priority int
	// Pool and Slots are what it needs to run. Slots is at least 1.
	Pool  string
	Slots int
	// Since is when it became ready; Deadline when it is no longer wanted, zero for never.
	Since, Deadline time.Time
	// Owner is the engine's own; a scheduler does not look at it.
	Owner any
	// Position is the scheduler's own; an engine does not look at it.
	Position int
}

// StepRecord is the history of one attempt of a step.
type StepRecord struct {
	Workflow faas.Ref
	Node     string
	Function faas.Ref
	Attempt  int
	// Ended is when the attempt ended, Run how long it took, Cold the part of Run that was a cold start (0: warm).
	Ended time.Time
	Run   time.Duration
	Cold  time.Duration
	// Failed: the attempt failed.
	Failed bool
}

// Decision is what a scheduler wants done.
type Decision struct {
	// Run are the steps to run now, in order.
	Run []*ReadyStep
	// Prewarm are functions to start an instance of now.
	Prewarm []Prewarm
	// Wake is when to ask again. Zero: when something happens.
	Wake time.Time
}

// Prewarm asks for one warm instance of a function.
type Prewarm struct {
	Function faas.Ref
	// Execution and Node are what needs it.
	Execution ExecutionRef
	Node      string
	// Expected is when the node is expected to be ready.
	Expected time.Time
	// Why is the reasoning, for people: "resize is expected in 1.2s, its cold start takes 0.8s (p95 of 41)".
	Why string
}
