package fission

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/joinery/faas/workflow"
)

// Bounds of an execution.
const (
	// maxNodes is how many tasks an execution may have at once, those that came up in it included.
	maxNodes = 100_000
	// maxNesting is how deep tasks may answer tasks.
	maxNesting = 50
	// maxInline is how many built-in functions may run in one go, without anything happening in between.
	maxInline = 100_000
)

// state is where an execution stands: a tree of scopes and nodes.
type state struct {
	execution workflow.ExecutionRef
	workflow  string
	started   time.Time
	seed      uint64
	// draws counts evaluations, so that each has chances of its own.
	draws  uint64
	inputs map[string]any
	root   *scope
	nodes  int
	ended  bool
}

type status uint8

const (
	none status = iota
	running
	succeeded
)

// names as Fission has them.
var statuses = [...]string{"SCHEDULED", "IN_PROGRESS", "SUCCEEDED"}

// node is one task of an execution.
type node struct {
	name    string // within the scope
	id      string // within the execution: the step
	place   string // the definition's own task, for the graph
	spec    *taskSpec
	scope   *scope
	extra   map[string]any // inputs that a loop gives, already values
	status  status
	left    int // required tasks that have not ended, less those it need not await
	inputs  map[string]any
	output  any
	headers map[string]any
	child   *scope
	loop    *loop
}

// loop is where a while or a repeat stands.
type loop struct {
	N       int  `json:"n"`
	Times   int  `json:"times,omitempty"`
	Prev    any  `json:"prev,omitempty"`
	HasPrev bool `json:"hasPrev,omitempty"`
	Waiting bool `json:"waiting,omitempty"`
}

// The kinds of scopes, by what they come from.
const (
	kindRoot     = "root"
	kindWorkflow = "workflow"
	kindTask     = "task"
	kindForeach  = "foreach"
	kindLoop     = "loop"
)

// scope is a set of tasks that see one another, and those around.
type scope struct {
	kind   string
	parent *node
	flow   *flow // what it was made of; nil for the root
	output string
	order  []string
	nodes  map[string]*node
	next   map[string][]string
	left   int
	size   int // of a foreach
	serial bool
}

// depth is how many scopes there are around.
func (s *scope) depth() (n int) {
	for s.parent != nil {
		s = s.parent.scope
		n++
	}
	return n
}

// find looks a task up, here and around.
func (s *scope) find(name string) *node {
	for {
		if n := s.nodes[name]; n != nil {
			return n
		}
		if s.parent == nil {
			return nil
		}
		s = s.parent.scope
	}
}

// newScope makes a scope of the tasks, none started.
func newScope(kind string, parent *node, f *flow, output string, tasks map[string]*taskSpec) *scope {
	s := &scope{kind: kind, parent: parent, flow: f, output: output, order: slices.Sorted(maps.Keys(tasks)), nodes: make(map[string]*node, len(tasks)), next: map[string][]string{}, left: len(tasks)}
	for _, name := range s.order {
		spec := tasks[name]
		n := &node{name: name, id: name, place: name, spec: spec, scope: s, left: spec.await}
		if parent != nil {
			n.id, n.place = parent.id+"/"+name, parent.place
		}
		s.nodes[name] = n
		for _, need := range spec.requires {
			s.next[need] = append(s.next[need], name)
		}
	}
	return s
}

// scopeOf makes the scope that a task's flow asks for.
func scopeOf(parent *node, f *flow) *scope {
	if f.workflow != nil {
		return newScope(kindWorkflow, parent, f, f.workflow.output, f.workflow.tasks)
	}
	name := parent.name + "_child"
	return newScope(kindTask, parent, f, name, map[string]*taskSpec{name: alone(f.task)})
}

// alone is the task without what it requires.
func alone(t *taskSpec) *taskSpec {
	out := *t
	out.requires, out.await = nil, 0
	return &out
}

// body is the task that a loop does each time.
func body(f *flow) *taskSpec {
	if f.task != nil {
		return alone(f.task)
	}
	return &taskSpec{run: "noop", target: target{builtin: "noop"}, inputs: map[string]any{mainInput: f}}
}

// foreachScope makes one task for each of n items.
func foreachScope(parent *node, f *flow, n int, serial bool) *scope {
	tasks := make(map[string]*taskSpec, n)
	for i := range n {
		t := body(f)
		if serial && i > 0 {
			t.requires, t.await = []string{itemName(i - 1)}, 1
		}
		tasks[itemName(i)] = t
	}
	s := newScope(kindForeach, parent, f, "", tasks)
	for i := range s.order {
		s.order[i] = itemName(i) // by number, not by text
	}
	s.size, s.serial = n, serial
	return s
}

// loopScope makes one turn of a loop.
func loopScope(parent *node, f *flow, turn int) *scope {
	name := itemName(turn)
	return newScope(kindLoop, parent, f, name, map[string]*taskSpec{name: body(f)})
}

func itemName(i int) string { return "do_" + strconv.Itoa(i) }
