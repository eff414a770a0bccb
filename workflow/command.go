package workflow

import (
	"errors"
	"net/http"
	"time"

	"github.com/joinery/faas"
)

// CommandKind is what a Program asks for.
type CommandKind uint8

// The kinds. The first six open a step, which stays open until a StepSucceeded or
// StepFailed event with its ID, or until CommandClose.
const (
	// CommandCall opens a step that invokes the function Target with Payload.
	CommandCall CommandKind = iota + 1
	// CommandActivity opens a step that a pull worker takes from the activity queue Name.
	CommandActivity
	// CommandTimer opens a step that succeeds at Due.
	CommandTimer
	// CommandWait opens a step that succeeds with the next signal of Name, the oldest unconsumed
	// one first. With Due set it fails with FailureTimeout then.
	CommandWait
	// CommandChild opens a step that starts a child execution of the workflow Target (or of
	// Child.Definition) with Payload and ends as the child ends.
	CommandChild
	// CommandRecord opens a step that succeeds at once with Payload: a value that was not
	// computed from events (a time, a random number, a side effect) becomes one.
	CommandRecord
	// CommandClose closes an open step: its outcome is no longer wanted. A call's context is cancelled,
	// a child is cancelled, a timer never fires; no event follows.
	CommandClose
	// CommandSignal sends the signal Name with Payload to the execution Execution, at least once.
	CommandSignal
	// CommandAnnotate sets search attributes (an empty value removes one) and the note that people read.
	CommandAnnotate
	// CommandSucceed ends the execution with Payload. Open steps are closed.
	CommandSucceed
	// CommandFail ends the execution with Failure: ExecutionCanceled if its name is
	// FailureCanceled and a cancellation was requested, else ExecutionFailed.
	CommandFail
	// CommandContinue ends the log and starts the next one of the same execution with Payload as
	// its input and Attributes kept; signals nobody consumed are carried over.
	CommandContinue
)

// Opens reports whether the command opens a step.
func (k CommandKind) Opens() bool { return k >= CommandCall && k <= CommandRecord }

// Ends reports whether the command is the last one of the log.
func (k CommandKind) Ends() bool { return k >= CommandSucceed && k <= CommandContinue }

// Command is what a Program asks the engine to do. Which fields are read depends on the Kind.
type Command struct {
	Kind CommandKind
	// Step is the ID of the step to open or close: chosen by the Program, not empty, at most MaxStepID
	// bytes of UTF-8, and never used for another step of the same log. It is the stable part of the
	// idempotency key. Opening a step again that had failed is a new attempt of it.
	Step string
	// Node is the step's place in the definition: a Node of its Graph. Empty: the same as Step.
	Node string
	// Target is the function (CommandCall) or workflow (CommandChild). An empty namespace is the execution's.
	Target faas.Ref
	// Name is the activity or the signal.
	Name string
	// Execution is the receiver of CommandSignal. Run 0: the latest.
	Execution ExecutionRef
	// Payload is the input, value or output.
	Payload Payload
	// Failure is set for CommandFail.
	Failure *Failure
	// Due is the time of CommandTimer and the limit of CommandWait.
	Due time.Time
	// Options of a call, activity or child; nil means none. Immutable: shared by commands.
	Options *StepOptions
	// Child holds more for CommandChild; nil means none.
	Child *ChildOptions
	// Attributes and Note are for CommandAnnotate.
	Attributes map[string]string
	Note       string
}

// MaxStepID is the longest step ID in bytes.
const MaxStepID = 255

// StepOptions say how a step is run. The zero value is one attempt without limits of its own.
type StepOptions struct {
	// Retry are the rules by which the engine tries again.
	Retry Retry `json:"retry,omitempty"`
	// Timeout bounds one attempt; the function gets it as its deadline. Zero: none.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Heartbeat is the longest silence of an activity or a callback step. Zero: none.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	// Deadline bounds the step with its queueing and all attempts, from when it was opened. Zero: none.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Callback: the function's answer does not end the step; whoever holds the step's Token does.
	// An answer that is a failure fails the attempt.
	Callback bool `json:"callback,omitempty"`
	// Priority orders ready steps: higher first. It is added to the execution's.
	Priority int `json:"priority,omitempty"`
	// Pool is the pool of slots that the step needs. Empty: the scheduler's default pool.
	Pool string `json:"pool,omitempty"`
	// Slots is how many slots of the pool it needs. Zero: 1.
	Slots int `json:"slots,omitempty"`
	// Header is sent with the function's request besides the engine's own.
	Header http.Header `json:"header,omitempty"`
	// Method, Path and Query of the request; empty: POST, "/" and none. Query is without "?".
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Query  string `json:"query,omitempty"`
}

// Validate returns ErrInvalidArgument with every fault.
func (o *StepOptions) Validate() error {
	if o == nil {
		return nil
	}
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("workflow", "validate", field, faas.ErrInvalidArgument, "%s", rule))
	}
	for field, d := range map[string]time.Duration{"timeout": o.Timeout, "heartbeat": o.Heartbeat, "deadline": o.Deadline} {
		if d < 0 {
			bad(field, "is negative")
		}
	}
	if o.Slots < 0 {
		bad("slots", "is negative")
	}
	if o.Pool != "" {
		if err := faas.ValidateName("pool", o.Pool); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, o.Retry.Validate())...)
}

// ChildOptions say how a child execution is started.
type ChildOptions struct {
	// Definition, when not nil, is run instead of a registered workflow.
	Definition *Definition
	// ID of the child execution. Empty: derived from the parent's and the step's, so that it is stable.
	ID string
	// OnClose says what becomes of the child when the parent ends first.
	OnClose OnParentClose
	// Detached: the step succeeds with the child's ID as soon as it is started.
	Detached bool
	// Attributes are the child's search attributes.
	Attributes map[string]string
}

// OnParentClose is what becomes of a child when its parent ends first.
type OnParentClose string

// The ways.
const (
	// ChildTerminates: it is terminated.
	ChildTerminates OnParentClose = ""
	// ChildCancels: it is asked to cancel.
	ChildCancels OnParentClose = "cancel"
	// ChildStays: it goes on alone.
	ChildStays OnParentClose = "stay"
)

// Request headers that the engine adds to a function's request.
const (
	// HeaderIdempotencyKey carries ExecutionRef.Key of the step: the same for every attempt and every delivery
	// (draft-ietf-httpapi-idempotency-key-header). In the logs after a CommandContinue, where step IDs may be used
	// again, the run is followed by the log's number: "namespace/id#1.2/step".
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderAttempt carries the attempt number, from 1. After a crash it also counts deliveries that may have been.
	HeaderAttempt = "X-Joinery-Attempt"
	// HeaderToken carries the Token of a step whose Options.Callback is set.
	HeaderToken = "X-Joinery-Task-Token"
)
