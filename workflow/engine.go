package workflow

import (
	"context"
	"time"

	"github.com/joinery/faas"
)

// Engine is the workflow engine (W2): it watches executions and triggers functions, by the
// scheduler's decisions. Safe for concurrent use.
type Engine interface {
	// Start starts an execution and returns once that is durable as its definition asks. See
	// StartRequest.Reuse for an ID that exists. Errors: ErrInvalidArgument, ErrNotFound (no such workflow),
	// ErrAlreadyExists (the ID), ErrExhausted, ErrUnavailable (the store).
	Start(ctx context.Context, req StartRequest) (ExecutionRef, error)
	// Wait returns the record once the execution has closed. Errors: ErrNotFound; ErrTimeout or
	// ErrCanceled when ctx ends before, with the execution going on.
	Wait(ctx context.Context, ref ExecutionRef) (Execution, error)
	// Get returns the record as it is now. Errors: ErrNotFound.
	Get(ctx context.Context, ref ExecutionRef) (Execution, error)
	// List returns records, newest start first. Errors: ErrInvalidArgument.
	List(ctx context.Context, q ExecutionQuery) (ExecutionPage, error)
	// History returns a part of an execution's log. Errors: ErrNotFound, ErrInvalidArgument, ErrCorrupt.
	History(ctx context.Context, ref ExecutionRef, q HistoryQuery) (HistoryPage, error)
	// Signal records a signal; it is durable when Signal returns. Errors: ErrNotFound, ErrConflict
	// (the execution has closed), ErrInvalidArgument (the name).
	Signal(ctx context.Context, ref ExecutionRef, name string, value Payload) error
	// Control changes the course of an execution; the change is durable when it returns. Errors:
	// ErrNotFound, ErrConflict (the execution is not in a state for it), ErrInvalidArgument.
	Control(ctx context.Context, ref ExecutionRef, c Control) error
}

// StartRequest is what Engine.Start needs.
type StartRequest struct {
	// Workflow names a registered definition; an empty version is the latest, to which the execution is pinned.
	Workflow faas.Ref
	// Definition, when not nil, is run instead of a registered one.
	Definition *Definition
	// ID of the execution in the workflow's namespace. Empty: a new UUID (version 7).
	ID string
	// Input is the execution's input.
	Input Payload
	// Reuse says what happens when the ID exists.
	Reuse ReusePolicy
	// Attributes are search attributes: at most MaxAttributes, each up to MaxAttribute bytes of key and of value.
	Attributes map[string]string
	// Timeout, when not zero, replaces the definition's.
	Timeout time.Duration
}

// Bounds of search attributes.
const (
	MaxAttributes = 64
	MaxAttribute  = 255
)

// ReusePolicy says what Start does when an execution with the ID exists.
type ReusePolicy string

// The policies. Under each of them starting once more with the same definition and input
// while the execution is open returns that execution, so that a start may be repeated safely.
const (
	// ReuseNever: ErrAlreadyExists, also when the other has closed.
	ReuseNever ReusePolicy = ""
	// ReuseUnsuccessful: a new run if the other closed without success.
	ReuseUnsuccessful ReusePolicy = "unsuccessful"
	// ReuseClosed: a new run if the other has closed.
	ReuseClosed ReusePolicy = "closed"
	// ReuseTerminate: the other is terminated if it is open, and a new run started.
	ReuseTerminate ReusePolicy = "terminate"
)

// HistoryQuery chooses a part of a log.
type HistoryQuery struct {
	// Limit is the size of a page, 1 to MaxPage. Zero: DefaultPage.
	Limit int
	// Reverse gives the newest first.
	Reverse bool
	// Token continues after a page, from its Next.
	Token string
}

// HistoryPage is one part of a log.
type HistoryPage struct {
	Events []Event
	// Next is the token of the next page; empty at the end as it is now.
	Next string
}

// Action is a change of an execution's course.
type Action string

// The actions.
const (
	// ActionCancel asks the Program to end; it may clean up first.
	ActionCancel Action = "cancel"
	// ActionTerminate ends the execution at once; its open steps are closed and its children treated as Parent.OnClose says.
	ActionTerminate Action = "terminate"
	// ActionSuspend keeps new steps from being started. What runs goes on, and its outcome is recorded.
	ActionSuspend Action = "suspend"
	// ActionResume ends a suspension.
	ActionResume Action = "resume"
	// ActionRedrive reopens an execution that failed, was cancelled, terminated or timed out: it goes on from
	// the steps that did not succeed, with the results of those that did.
	ActionRedrive Action = "redrive"
)

// Control is a change of an execution's course.
type Control struct {
	Action Action
	// Reason is for people; it is in the log.
	Reason string
}

// Workers is an Engine whose activities are taken by pull workers, and whose callback steps
// are ended from outside. Tokens are opaque, signed, and valid over restarts of the engine.
type Workers interface {
	// Poll waits for the next activity of that name and takes it. worker names the owner for
	// Explain. Errors: ErrTimeout or ErrCanceled when ctx ends before, ErrInvalidArgument.
	Poll(ctx context.Context, activity, worker string) (*Activity, error)
	// Heartbeat says that the attempt is alive and keeps its details. Errors: ErrInvalidArgument (not
	// a token), ErrNotFound (the attempt is over: stop).
	Heartbeat(ctx context.Context, token string, details Payload) error
	// Succeed ends the attempt with its output; durable when it returns. A token whose step has ended
	// with that attempt is nil, so that it may be repeated. Errors: as Heartbeat.
	Succeed(ctx context.Context, token string, output Payload) error
	// Fail fails the attempt; retry rules apply. Errors: as Heartbeat.
	Fail(ctx context.Context, token string, failure Failure) error
}

// Activity is an attempt of an activity step, taken by a worker.
type Activity struct {
	// Token ends it.
	Token string
	// Execution, Step and Attempt name it; Execution.Key(Step) is the idempotency key.
	Execution ExecutionRef
	Step      string
	Attempt   int
	Name      string
	Input     Payload
	// Deadline is when the attempt times out. Zero: never.
	Deadline time.Time
	// Heartbeat is the longest silence allowed. Zero: any.
	Heartbeat time.Duration
	// Details are those of the last heartbeat of an earlier attempt, if any.
	Details Payload
}

// Explainer is an Engine that can say why an execution is where it is.
type Explainer interface {
	// Explain returns the owner and the deadline of every open step. Errors: ErrNotFound.
	Explain(ctx context.Context, ref ExecutionRef) (Explanation, error)
}

// Explanation says why an execution is not further.
type Explanation struct {
	Execution Execution
	// Blocked, when not empty, is why nothing of it can go on: suspended, its code is missing, its log is corrupt.
	Blocked string
	// Steps are the open ones, in the order they were opened.
	Steps []OpenStep
}

// OpenStep is a step that an execution waits for.
type OpenStep struct {
	Step, Node string
	// Kind is that of the command that opened it.
	Kind CommandKind
	// Target is the function, activity, child, or signal.
	Target string
	// Attempt is the current one, from 1.
	Attempt int
	// Opened is when the step was opened; Began when the current attempt was started, zero if it waits.
	Opened, Began time.Time
	// Owner is who must act next: "scheduler", "function ns/resize@3", "worker w1", "timer", "signal approve",
	// "child ns/x#1", "token holder", "nobody polls activity review".
	Owner string
	// Why is a sentence on what it waits for.
	Why string
	// Deadline is when the engine acts by itself, if the owner does not. Zero: never.
	Deadline time.Time
	// Last is how the last attempt failed, if one did.
	Last *Failure
}

// Forker is an Engine that can start an execution from a point of another one.
type Forker interface {
	// Fork starts a new execution whose log is a copy of ref's up to the moment before step ended, so that
	// the step and what follows are done again. Errors: those of Start, ErrConflict (the step has not ended).
	Fork(ctx context.Context, ref ExecutionRef, step, id string) (ExecutionRef, error)
}

// Queries is an Engine that passes questions to Programs that answer them (see Querier).
type Queries interface {
	// Query answers from the state as it is now. Errors: ErrNotFound, ErrUnimplemented (the Program is no
	// Querier), ErrInvalidArgument.
	Query(ctx context.Context, ref ExecutionRef, name string, argument Payload) (Payload, error)
}
