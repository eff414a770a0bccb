package workflow

import (
	"time"

	"github.com/joinery/faas"
)

// EventKind is what happened.
type EventKind uint8

// The kinds. Numbers are part of the log's format: a number is never used again.
const (
	// ExecutionStarted opens every log. Start and Payload, the input, are set.
	ExecutionStarted EventKind = 1
	// StepSucceeded ends an open step: a call, an activity, a timer, a child, a received
	// signal, a recorded value. Payload is its output. For a wait, From is the Seq of the signal.
	StepSucceeded EventKind = 2
	// StepFailed ends an open step for good: no rule retries it any more. Failure is set.
	StepFailed EventKind = 3
	// StepRetrying: an attempt failed and another is due at Due. Failure is set, Rule says which
	// rule applied. The step stays open.
	StepRetrying EventKind = 4
	// SignalReceived: Name is the signal's name, Payload its value. The first open wait of that name gets it.
	SignalReceived EventKind = 5
	// CancelRequested asks the Program to end; Failure.Cause says who asked and why.
	CancelRequested EventKind = 6
	// ExecutionSuspended: no step is started until ExecutionResumed. Outcomes are still recorded.
	ExecutionSuspended EventKind = 7
	// ExecutionResumed ends a suspension.
	ExecutionResumed EventKind = 8
	// ExecutionRedriven reopens an execution that did not succeed: the events in Undone count as
	// never having happened, and the steps they ended are open again.
	ExecutionRedriven EventKind = 9
	// ExecutionContinued starts the log afresh: events before it are folded into its state
	// (a snapshot for languages that have them, else Payload is the input of the new log).
	ExecutionContinued EventKind = 10
	// ExecutionSucceeded closes the log. Payload is the output.
	ExecutionSucceeded EventKind = 11
	// ExecutionFailed closes the log. Failure is set.
	ExecutionFailed EventKind = 12
	// ExecutionCanceled closes the log: the Program ended as it was asked to.
	ExecutionCanceled EventKind = 13
	// ExecutionTerminated closes the log at once; the Program was not asked.
	ExecutionTerminated EventKind = 14
	// ExecutionTimedOut closes the log: the execution's deadline passed.
	ExecutionTimedOut EventKind = 15
	// ExecutionRecovered: the engine came up again while steps of the execution were under way. Each
	// of them is delivered once more, with the next attempt number and the same key.
	ExecutionRecovered EventKind = 16
)

var eventNames = [...]string{
	ExecutionStarted: "execution-started", StepSucceeded: "step-succeeded", StepFailed: "step-failed",
	StepRetrying: "step-retrying", SignalReceived: "signal-received", CancelRequested: "cancel-requested",
	ExecutionSuspended: "execution-suspended", ExecutionResumed: "execution-resumed", ExecutionRedriven: "execution-redriven",
	ExecutionContinued: "execution-continued", ExecutionSucceeded: "execution-succeeded", ExecutionFailed: "execution-failed",
	ExecutionCanceled: "execution-canceled", ExecutionTerminated: "execution-terminated", ExecutionTimedOut: "execution-timed-out",
	ExecutionRecovered: "execution-recovered",
}

// String is the kind's name: "step-succeeded".
func (k EventKind) String() string {
	if int(k) >= len(eventNames) || eventNames[k] == "" {
		return "event-unknown"
	}
	return eventNames[k]
}

// MarshalText writes the name.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name. ErrInvalidArgument if there is no such kind.
func (k *EventKind) UnmarshalText(text []byte) error {
	for i, name := range eventNames {
		if name != "" && name == string(text) {
			*k = EventKind(i)
			return nil
		}
	}
	return faas.Errorf("workflow", "decode event", string(text), faas.ErrInvalidArgument, "no such kind of event")
}

// Closes reports whether the event is the last of its log.
func (k EventKind) Closes() bool { return k.Status() != StatusRunning }

// Status is the status that an execution has after such an event: StatusRunning for every kind that does not close it.
func (k EventKind) Status() Status {
	switch k {
	case ExecutionSucceeded:
		return StatusSucceeded
	case ExecutionFailed:
		return StatusFailed
	case ExecutionCanceled:
		return StatusCanceled
	case ExecutionTerminated:
		return StatusTerminated
	case ExecutionTimedOut:
		return StatusTimedOut
	}
	return StatusRunning
}

// Event is one fact in an execution's log. Which fields are set depends on the Kind. An
// event is immutable once appended.
type Event struct {
	// Seq is the position in the log, from 1 without gaps.
	Seq uint64 `json:"seq"`
	// Time is when the engine recorded it, in UTC: the only clock a Program may read. It
	// never goes back within a log, whatever the machine's clock does.
	Time time.Time `json:"time"`
	// Kind says what happened.
	Kind EventKind `json:"kind"`
	// Step is the step's ID, as in the Command that opened it.
	Step string `json:"step,omitempty"`
	// Node is the step's place in the definition, as in the Command.
	Node string `json:"node,omitempty"`
	// Name is a signal's name, or what a step's Command targeted.
	Name string `json:"name,omitempty"`
	// Attempt is the attempt that ended, from 1; of an ExecutionContinued, the number of the log that it begins.
	Attempt int `json:"attempt,omitempty"`
	// Began is when that attempt was started; zero for steps that do not run.
	Began time.Time `json:"began,omitzero"`
	// Cold is the part of the attempt that was a function's cold start.
	Cold time.Duration `json:"cold,omitempty"`
	// Due is when the next attempt is to start (StepRetrying).
	Due time.Time `json:"due,omitzero"`
	// Rule is the index of the retry rule that applied (StepRetrying).
	Rule int `json:"rule,omitempty"`
	// From is the Seq of the signal that ended a wait; of a signal that another execution sent, the
	// sender's own number of it: with Node, the sender, it tells a repeated delivery.
	From uint64 `json:"from,omitempty"`
	// Undone are the Seqs that a redrive undoes, ascending.
	Undone []uint64 `json:"undone,omitempty"`
	// Payload is an input, an output or a signal's value.
	Payload Payload `json:"payload,omitzero"`
	// Failure is how it failed.
	Failure *Failure `json:"failure,omitempty"`
	// Start holds what an execution was started with (ExecutionStarted and ExecutionContinued).
	Start *Start `json:"start,omitempty"`
}

// Start is what an execution was started with, besides its input.
type Start struct {
	// Execution is the execution's own name.
	Execution ExecutionRef `json:"execution"`
	// Definition is the pinned definition: its source is in the log itself, so that an execution outlives its
	// registry's record.
	Definition Definition `json:"definition"`
	// Seed is random: what a Program derives tokens and random numbers from.
	Seed uint64 `json:"seed"`
	// Secret is random: callback tokens of this execution are signed with it.
	Secret []byte `json:"secret,omitempty"`
	// Parent is the execution whose step this one is, if any.
	Parent *Parent `json:"parent,omitempty"`
	// Deadline ends the execution with ExecutionTimedOut. Zero: none.
	Deadline time.Time `json:"deadline,omitzero"`
	// Attributes are the search attributes given at the start.
	Attributes map[string]string `json:"attributes,omitempty"`
	// ForkOf is the execution whose log was copied up to here, if any.
	ForkOf *ExecutionRef `json:"forkOf,omitempty"`
}

// Parent names the step of another execution that waits for this one.
type Parent struct {
	Execution ExecutionRef `json:"execution"`
	Step      string       `json:"step"`
	// OnClose says what becomes of this execution when the parent ends first.
	OnClose OnParentClose `json:"onClose,omitempty"`
}
