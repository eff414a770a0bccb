// Package criticalpath is a workflow scheduler (W3) that learns from history: how long each step runs, how long
// each function's cold start takes, and which way choices go. It does three things with it.
//
// It orders. Steps that could run are taken by priority; then from the workflow that has the
// fewest steps running (max-min fairness); then by the time from their execution's beginning to its expected
// end: how long ago it began, and the upward rank of the step, which is its own median run
// time and that of the longest way behind it (Topcuoglu, Hariri and Wu, "Performance-effective and
// low-complexity task scheduling", IEEE TPDS 2002). So in one execution the critical path goes first, and of two
// like executions the older one. A step that waits counts as one priority higher after each Aging; nothing starves.
//
// It limits: steps at once, slots of pools, steps of a function and of a workflow, and retries of a workflow by a
// token bucket, so that a function that fails everywhere is not called more by trying again. A step that cannot run
// under any circumstances (no such pool, or too small a one) waits, and Explain says so.
//
// It prewarms: a function that is expected next is asked for at the expected start less the 95th percentile of
// its cold starts, if its cold starts are known and the way to it is likely enough. The start is expected by the 10th
// percentile of what runs before it: half of all steps take less than their median, and would wait for an instance
// that is timed by it. A planned prewarm is dropped when a choice went another way, or the execution ended.
//
// # Snippet
//
//	s, err := criticalpath.New(criticalpath.Config{
//		Pools:     map[string]int{"gpu": 4},
//		Functions: map[faas.Ref]int{{Name: "resize"}: 20},
//		Retries:   criticalpath.Budget{PerSecond: 10, Burst: 50},
//	})
//
// # Errors
//
// New returns ErrInvalidArgument with every fault; a scheduler's methods have no errors.
//
// # Concurrency
//
// As the contract says: called by one goroutine at a time. There are no goroutines.
package criticalpath

import (
	"errors"
	"math"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Config of New. The zero value has no limits and prewarms.
type Config struct {
	// Limit is how many steps run at once, over all pools. Zero: no limit.
	Limit int
	// Pools are the slots of each named pool. Steps that name no pool need none.
	Pools map[string]int
	// Functions and Workflows are how many steps of a function or workflow run at once, by references without a
	// version. Those that are not named have no limit.
	Functions, Workflows map[faas.Ref]int
	// Retries is the budget that each workflow has for attempts after the first. Zero: no limit.
	Retries Budget
	// Aging is the wait after which a step counts as one priority higher. Zero: DefaultAging.
	Aging time.Duration
	// Sure is the probability from which a function that may follow is prewarmed. Zero: DefaultSure. Above 1: never prewarm.
	Sure float64
}

// Budget is a token bucket: each retry takes one token.
type Budget struct {
	// PerSecond is how many tokens come back in a second.
	PerSecond float64
	// Burst is how many there are at most, and at the beginning.
	Burst int
}

// Defaults of a Config.
const (
	DefaultAging = time.Minute
	DefaultSure  = 0.5
)

var (
	_ workflow.Scheduler = (*Scheduler)(nil)
	_ workflow.Learner   = (*Scheduler)(nil)
)

// Scheduler is a [workflow.Scheduler] and [workflow.Learner]; its methods are documented there.
type Scheduler struct {
	limit, running int
	aging          time.Duration
	sure           float64
	budget         Budget
	unnamed        *pool
	pools          map[string]*pool
	all            []*pool
	functions      map[faas.Ref]*share
	workflows      map[faas.Ref]*share
	lanes          map[laneKey]*lane

	elements        []element // of the steps that wait; a step's Position is an index. Index 0 is no element.
	free            int
	oldest, newest  int // the list of all waiting steps by the time they age next
	arrivals        uint64
	retriesPossible time.Time // when a waiting retry may have a token

	history    history
	plans      recent[faas.Ref, plan]
	executions map[workflow.ExecutionRef]*execution
	numbered   uint64
	wants      wants
}

// plansKept bounds the graphs that are kept; executions keep theirs.
const plansKept = 1024

// New returns an empty scheduler.
func New(c Config) (*Scheduler, error) {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("workflow scheduler", "new", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if c.Limit < 0 {
		bad("limit", "is negative")
	}
	if c.Aging < 0 {
		bad("aging", "is negative")
	}
	if !(c.Sure >= 0) {
		bad("sure", "is not a number from 0")
	}
	switch b := c.Retries; {
	case b == Budget{}:
	case !(b.PerSecond > 0) || math.IsInf(b.PerSecond, 0):
		bad("retries", "no token ever comes back: PerSecond must be above 0")
	case b.Burst < 1:
		bad("retries", "Burst must be at least 1")
	}
	for name, slots := range c.Pools {
		if err := faas.ValidateName("pool", name); err != nil {
			errs = append(errs, err)
		}
		if slots < 1 {
			bad("pool "+name, "has no slots")
		}
	}
	for field, limits := range map[string]map[faas.Ref]int{"function": c.Functions, "workflow": c.Workflows} {
		for ref, n := range limits {
			if err := ref.Validate(); err != nil {
				errs = append(errs, err)
			}
			if ref.Version != "" {
				bad(field+" "+ref.String(), "has a version: a limit is for all versions")
			}
			if n < 1 {
				bad(field+" "+ref.String(), "has a limit below 1")
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	s := &Scheduler{
		limit: c.Limit, aging: c.Aging, sure: c.Sure, budget: c.Retries,
		unnamed: &pool{size: math.MaxInt}, pools: map[string]*pool{}, lanes: map[laneKey]*lane{},
		functions: shares(c.Functions), workflows: shares(c.Workflows),
		elements: make([]element, 1), history: newHistory(),
		plans: recent[faas.Ref, plan]{most: plansKept}, executions: map[workflow.ExecutionRef]*execution{},
	}
	if s.limit == 0 {
		s.limit = math.MaxInt
	}
	if s.aging == 0 {
		s.aging = DefaultAging
	}
	if s.sure == 0 {
		s.sure = DefaultSure
	}
	s.all = append(s.all, s.unnamed)
	for name, slots := range c.Pools {
		p := &pool{name: name, size: slots}
		s.pools[name] = p
		s.all = append(s.all, p)
	}
	return s, nil
}

func shares(limits map[faas.Ref]int) map[faas.Ref]*share {
	all := map[faas.Ref]*share{}
	for ref, n := range limits {
		all[ref.WithDefaults()] = &share{limit: n, configured: true}
	}
	return all
}

// Ready implements workflow.Scheduler.
func (s *Scheduler) Ready(now time.Time, step *workflow.ReadyStep) {
	x := s.execution(now, step)
	key := nodeKey{step.Workflow.Unversioned(), step.Node}
	var rank time.Duration
	if node, ok := x.node(step.Node); ok {
		x.plan.refresh(&s.history)
		rank = x.plan.nodes[node].rank
		s.arrived(x, node)
	} else {
		rank = s.history.runs(key, step.Function).p50()
	}
	s.insert(now, step, rank-x.began.Sub(epoch))
}

// epoch is before any execution began; what counts is the difference of two scores.
var epoch = time.Unix(0, 0)

func (s *Scheduler) execution(now time.Time, step *workflow.ReadyStep) *execution {
	x := s.executions[step.Execution]
	if x == nil {
		s.numbered++
		x = &execution{ref: step.Execution, number: s.numbered, plan: s.plans.get(step.Workflow), began: now}
		s.executions[step.Execution] = x
	}
	return x
}

// node returns the index of a node in the execution's plan.
func (x *execution) node(name string) (int, bool) {
	if x == nil || x.plan == nil {
		return 0, false
	}
	i, ok := x.plan.index[name]
	return i, ok
}

// Withdraw implements workflow.Scheduler.
func (s *Scheduler) Withdraw(_ time.Time, step *workflow.ReadyStep) { s.remove(step.Position) }

// Done implements workflow.Scheduler.
func (s *Scheduler) Done(now time.Time, step *workflow.ReadyStep, r workflow.StepRecord) {
	s.Observe(r)
	s.release(step)
	if x := s.executions[step.Execution]; x != nil {
		if node, ok := x.node(step.Node); ok {
			s.ended(now, x, node, r.Failed)
		}
	}
}

// Next implements workflow.Scheduler.
func (s *Scheduler) Next(now time.Time, d *workflow.Decision) {
	s.age(now)
	d.Wake = time.Time{}
	s.retriesPossible = time.Time{}
	for s.running < s.limit {
		step := s.choose(now)
		if step == nil {
			break
		}
		d.Run = append(d.Run, step)
		if x := s.executions[step.Execution]; x != nil {
			if node, ok := x.node(step.Node); ok {
				s.started(now, x, node)
			}
		}
	}
	d.Wake = s.retriesPossible
	if next := s.prewarm(now, d); d.Wake.IsZero() || !next.IsZero() && next.Before(d.Wake) {
		d.Wake = next
	}
}

// Describe implements workflow.Learner.
func (s *Scheduler) Describe(ref faas.Ref, g *workflow.Graph) {
	if g != nil && s.plans.get(ref) == nil {
		s.plans.add(ref, newPlan(ref, g))
	}
}

// Observe implements workflow.Learner.
func (s *Scheduler) Observe(r workflow.StepRecord) {
	s.history.observe(&r)
	if p := s.plans.get(r.Workflow); p != nil {
		p.records++
	}
}

// Ended implements workflow.Learner.
func (s *Scheduler) Ended(_ time.Time, ref workflow.ExecutionRef) {
	if x := s.executions[ref]; x != nil {
		delete(s.executions, ref)
		s.closed(x)
	}
}
