package workflow

import "github.com/joinery/faas"

// State is a Program's own state of one execution. Only the Program that made it looks inside.
type State any

// Program is a compiled definition: a pure, deterministic fold of an execution's log. It is
// safe for concurrent use; a State belongs to one goroutine at a time.
//
// "Pure" means: what Step returns depends on the state and the event alone, not on a
// clock, a random source, a map's order or anything outside. Time is Event.Time, chance comes from
// Start.Seed, and anything else enters through CommandRecord.
type Program interface {
	// Step folds one event into the state and returns the commands that follow from it, in order.
	// It consumes s: the caller must not use s again, also not after an error. s is nil for the
	// first event, an ExecutionStarted or ExecutionContinued. No event follows a command that ends the log.
	//
	// Step gets every event of the log but those that a redrive undid, and must accept kinds and
	// steps that do not concern it. Errors: ErrConflict when the event does not fit the state (code or
	// definition changed under the execution); it says what was expected and what came. Those of
	// Payload.Bytes may pass through: the step is then tried again later.
	Step(s State, e *Event) (State, []Command, error)
	// Snapshot encodes the state without changing it. ErrUnimplemented if states of this Program
	// cannot be encoded: then recovery folds the whole log.
	Snapshot(s State) ([]byte, error)
	// Restore decodes a snapshot; what it returns behaves like the state that was encoded.
	// Payloads held by reference are bound to source. Errors: ErrCorrupt.
	Restore(snapshot []byte, source PayloadSource) (State, error)
}

// Releaser is a Program whose states hold something, such as a parked coroutine. The engine
// calls Release once for each state that it drops.
type Releaser interface{ Release(s State) }

// Predater is a Program that knows logs which an older version of it wrote, before steps were added to it.
// Predates reports, without changing the state, whether the outcome of a step that is not open may be from such a
// log. Step then either opens the step in answer to its own outcome, which counts as ended
// right away, or returns ErrConflict.
type Predater interface {
	Predates(s State, e *Event) bool
}

// Redriver is a Program that knows which failed steps led to an execution's end. Redrive returns whether a redrive tries
// a failed step again; it leaves alone the other failures, which the definition dealt with. Without a
// Redriver every step that failed is tried again. Redrive must not change the state. Errors: ErrConflict when the
// execution cannot be taken up again, with the reason.
type Redriver interface {
	Redrive(s State) (again func(step string) bool, err error)
}

// Grapher is a Program that can be drawn and planned ahead.
type Grapher interface {
	// Graph returns the definition's graph, which must not be changed.
	Graph() *Graph
}

// Querier is a Program that answers questions about a state. Query must not change it.
type Querier interface {
	// Query answers the question. Errors: ErrNotFound (no such query), ErrInvalidArgument.
	Query(s State, name string, argument Payload) (Payload, error)
}

// Graph is the shape of a definition.
type Graph struct {
	Nodes []Node
	Edges []Edge
}

// Node is a place in a definition. Commands and events name it.
type Node struct {
	// Name is unique within the graph.
	Name string
	// Kind is for people: "call", "choice", "wait", "map", "parallel", "start", "end".
	Kind string
	// Function is what the node calls, if it calls one that is known beforehand.
	Function faas.Ref
	// Group is the name of the node that this one lies within, such as a task group or a map. Empty: none.
	Group string
}

// Edge leads from one node to one that may follow it.
type Edge struct {
	From, To string
	// Label is for people: a condition or a trigger rule.
	Label string
	// Choice: of the Choice edges that leave a node one is taken, not all.
	Choice bool
}
