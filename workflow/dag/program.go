package dag

import (
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

// Attributes of an execution that give its data interval, as times in RFC 3339. What starts
// executions on a schedule sets them.
const (
	IntervalStart = "interval.start"
	IntervalEnd   = "interval.end"
)

// Program is a compiled definition.
type Program struct {
	tasks    []task
	index    map[string]int32
	graph    *taskgraph.Graph
	leaves   []int32
	output   *template
	drawing  *workflow.Graph
	failFast bool
}

// Graph is the definition's graph: tasks, groups, and what needs what. See workflow.Grapher.
func (p *Program) Graph() *workflow.Graph { return p.drawing }

// status is a State in a byte.
type status uint8

const (
	none status = iota
	running
	succeeded
	failed
	upstreamFailed
	skipped
)

var states = [...]State{StateNone, StateRunning, StateSucceeded, StateFailed, StateUpstreamFailed, StateSkipped}

func (s status) state() State { return states[s] }
func (s status) final() bool  { return s > running }

func statusOf(s State) status {
	for i, state := range states {
		if s == state {
			return status(i)
		}
	}
	return none
}

// counts is Upstream, small.
type counts struct {
	total, done, success, skipped, failed, upstreamFailed int32
	setups, goodSetups, skippedSetups                     int16
}

func (c *counts) add(s status) {
	c.done++
	switch s {
	case succeeded:
		c.success++
	case skipped:
		c.skipped++
	case failed:
		c.failed++
	case upstreamFailed:
		c.upstreamFailed++
	}
}

func (c *counts) upstream() Upstream {
	return Upstream{
		Total: int(c.total), Done: int(c.done), Success: int(c.success), Skipped: int(c.skipped), Failed: int(c.failed), UpstreamFailed: int(c.upstreamFailed),
		Setups: int(c.setups), SuccessSetups: int(c.goodSetups), SkippedSetups: int(c.skippedSetups),
	}
}

// state is where an execution stands.
type state struct {
	execution workflow.ExecutionRef
	started   time.Time
	from, to  string // the data interval; empty: the start
	input     workflow.Payload

	status  []status
	counts  []counts
	output  []workflow.Payload
	failure map[int32]*workflow.Failure
	mapped  map[int32]*mapped
	pokes   map[int32]*poke
	// left is how many tasks are not final; first is the first task that failed, -1 for none.
	left, first int32
	// ending, when not nil, is why nothing but teardowns starts any more.
	ending *workflow.Failure
	ended  bool
}

func (p *Program) newState(e *workflow.Event) *state {
	n := len(p.tasks)
	s := &state{started: e.Time, input: e.Payload, status: make([]status, n), counts: make([]counts, n), output: make([]workflow.Payload, n),
		left: int32(n), first: -1}
	if e.Start != nil {
		s.execution, s.from, s.to = e.Start.Execution, e.Start.Attributes[IntervalStart], e.Start.Attributes[IntervalEnd]
	}
	p.initCounts(s)
	return s
}

func (p *Program) initCounts(s *state) {
	for i := range s.counts {
		s.counts[i] = counts{total: int32(len(p.graph.Needs(int32(i)))), setups: int16(len(p.tasks[i].setups))}
	}
}

// Step folds one event. See workflow.Program.
func (p *Program) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if s == nil {
		if e.Kind != workflow.ExecutionStarted && e.Kind != workflow.ExecutionContinued {
			return nil, nil, taskgraph.Conflict(e, "the execution's start")
		}
		r := run{program: p, state: p.newState(e), now: e.Time}
		r.look = r.few[:0]
		return r.begin()
	}
	st, ok := s.(*state)
	if !ok {
		return nil, nil, taskgraph.Conflict(e, "a state of this language")
	}
	r := run{program: p, state: st, now: e.Time}
	r.look = r.few[:0]
	switch e.Kind {
	case workflow.StepSucceeded, workflow.StepFailed:
		if err := r.outcome(e); err != nil {
			return nil, nil, err
		}
	case workflow.CancelRequested:
		r.end(taskgraph.Canceled(e))
	default:
		return st, nil, nil
	}
	return r.settle()
}

// stepID is a step of a task: "name", "name[index]" of a mapped one, "name~n" the n-th question of a
// sensor and "name~n+" the wait after it.
type stepID struct {
	task  int32
	index int // -1: none
	poke  int // 0: none
	pause bool
}

func (p *Program) parseStep(id string) (s stepID, ok bool) {
	s.index = -1
	if s.task, ok = p.index[id]; ok {
		return s, true
	}
	rest := id
	if rest, s.pause = strings.CutSuffix(rest, "+"); s.pause || strings.Contains(rest, "~") {
		head, number, found := strings.Cut(rest, "~")
		n, err := strconv.Atoi(number)
		if !found || err != nil || n < 1 {
			return s, false
		}
		rest, s.poke = head, n
	} else if head, number, found := strings.Cut(rest, "["); found {
		n, err := strconv.Atoi(strings.TrimSuffix(number, "]"))
		if err != nil || n < 0 {
			return s, false
		}
		rest, s.index = head, n
	}
	s.task, ok = p.index[rest]
	return s, ok
}
