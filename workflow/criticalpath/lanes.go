package criticalpath

import (
	"container/heap"
	"fmt"
	"math"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// pool is a pool of slots, with the lanes of its steps that wait.
type pool struct {
	name       string
	size, used int
	waiting    []*lane // those that are not empty
}

// share is what a function or a workflow uses.
type share struct {
	limit, running int
	configured     bool
	// A workflow's budget of retries.
	tokens   float64
	refilled time.Time
}

func (s *share) full() bool { return s.limit > 0 && s.running >= s.limit }

// lane is the waiting steps that the same limits hold back.
type lane struct {
	key      laneKey
	pool     *pool
	workflow *share
	function *share
	steps    steps
	place    int // in pool.waiting
}

type laneKey struct {
	pool               string
	workflow, function faas.Ref
	retry              bool
	never              bool // no such pool, or too small a one
}

// element is a waiting step.
type element struct {
	step     *workflow.ReadyStep
	lane     *lane
	priority int // with what it aged
	score    time.Duration
	arrival  uint64
	place    int // in the lane's heap
	// The list of all that wait, by when they age next.
	ages       time.Time
	prev, next int
}

// before orders by priority, then by score, then by arrival. Fairness between workflows comes in choose.
func (e *element) before(o *element) bool {
	if e.priority != o.priority {
		return e.priority > o.priority
	}
	if e.score != o.score {
		return e.score > o.score
	}
	return e.arrival < o.arrival
}

// steps is a heap of elements.
type steps struct {
	s     *Scheduler
	order []int
}

func (h *steps) Len() int { return len(h.order) }
func (h *steps) Less(i, j int) bool {
	return h.s.elements[h.order[i]].before(&h.s.elements[h.order[j]])
}
func (h *steps) Swap(i, j int) {
	h.order[i], h.order[j] = h.order[j], h.order[i]
	h.s.elements[h.order[i]].place, h.s.elements[h.order[j]].place = i, j
}

// push and pop are heap.Push and heap.Pop without the boxing of an int.
func (h *steps) push(i int) {
	h.s.elements[i].place = len(h.order)
	h.order = append(h.order, i)
	heap.Fix(h, len(h.order)-1)
}

func (h *steps) remove(place int) {
	last := len(h.order) - 1
	h.Swap(place, last)
	h.order = h.order[:last]
	if place < last {
		heap.Fix(h, place)
	}
}

// Push and Pop are never called; they make steps a heap.Interface.
func (h *steps) Push(any) { panic("criticalpath: use push") }
func (h *steps) Pop() any { panic("criticalpath: use remove") }

// poolOf returns the pool whose slots a step takes, nil if there is none.
func (s *Scheduler) poolOf(step *workflow.ReadyStep) *pool {
	if step.Pool == "" {
		return s.unnamed
	}
	return s.pools[step.Pool]
}

func (s *Scheduler) shareOf(all map[faas.Ref]*share, ref faas.Ref) *share {
	ref = ref.Unversioned().WithDefaults()
	of := all[ref]
	if of == nil {
		of = &share{tokens: float64(s.budget.Burst)}
		all[ref] = of
	}
	return of
}

// laneOf returns the lane of a step.
func (s *Scheduler) laneOf(step *workflow.ReadyStep) *lane {
	p := s.poolOf(step)
	key := laneKey{pool: step.Pool, workflow: step.Workflow.Unversioned(), function: step.Function.Unversioned(),
		retry: step.Attempt > 1 && s.budget.Burst > 0, never: p == nil || step.Slots > p.size}
	l := s.lanes[key]
	if l == nil {
		if len(s.lanes) >= lanesKept {
			s.sweep()
		}
		l = &lane{key: key, pool: p, workflow: s.shareOf(s.workflows, step.Workflow), function: s.shareOf(s.functions, step.Function)}
		l.steps.s = s
		s.lanes[key] = l
	}
	return l
}

// lanesKept is when lanes that are empty are forgotten.
const lanesKept = 4096

// sweep forgets the lanes without steps and the shares that nothing uses.
func (s *Scheduler) sweep() {
	used := map[*share]bool{}
	for key, l := range s.lanes {
		if len(l.steps.order) == 0 {
			delete(s.lanes, key)
		} else {
			used[l.workflow], used[l.function] = true, true
		}
	}
	for _, all := range []map[faas.Ref]*share{s.functions, s.workflows} {
		for ref, of := range all {
			if !of.configured && !used[of] && of.running == 0 && of.tokens >= float64(s.budget.Burst) {
				delete(all, ref)
			}
		}
	}
}

// insert adds a step.
func (s *Scheduler) insert(now time.Time, step *workflow.ReadyStep, score time.Duration) {
	i := s.free
	if i == 0 {
		i = len(s.elements)
		s.elements = append(s.elements, element{})
	} else {
		s.free = s.elements[i].next
	}
	l := s.laneOf(step)
	s.arrivals++
	s.elements[i] = element{step: step, lane: l, priority: step.Priority, score: score, arrival: s.arrivals, ages: now.Add(s.aging)}
	s.link(i)
	step.Position = i
	if l.steps.push(i); len(l.steps.order) == 1 && !l.key.never {
		l.place = len(l.pool.waiting)
		l.pool.waiting = append(l.pool.waiting, l)
	}
}

// remove takes an element out.
func (s *Scheduler) remove(i int) {
	e := s.elements[i]
	l := e.lane
	if l.steps.remove(e.place); len(l.steps.order) == 0 && !l.key.never {
		p := l.pool
		last := p.waiting[len(p.waiting)-1]
		p.waiting[l.place], last.place = last, l.place
		p.waiting[len(p.waiting)-1] = nil
		p.waiting = p.waiting[:len(p.waiting)-1]
	}
	s.unlink(i)
	s.elements[i] = element{next: s.free}
	s.free = i
}

// link appends an element to the list of all that wait.
func (s *Scheduler) link(i int) {
	s.elements[i].prev, s.elements[i].next = s.newest, 0
	if s.newest == 0 {
		s.oldest = i
	} else {
		s.elements[s.newest].next = i
	}
	s.newest = i
}

func (s *Scheduler) unlink(i int) {
	e := &s.elements[i]
	if e.prev == 0 {
		s.oldest = e.next
	} else {
		s.elements[e.prev].next = e.next
	}
	if e.next == 0 {
		s.newest = e.prev
	} else {
		s.elements[e.next].prev = e.prev
	}
}

// age raises the priority of what has waited. All age alike, so the list stays in order, but for
// what ages more than once at a time: that may come late by less than one Aging.
func (s *Scheduler) age(now time.Time) {
	for s.oldest != 0 {
		i := s.oldest
		e := &s.elements[i]
		if e.ages.After(now) {
			return
		}
		passed := 1 + int(now.Sub(e.ages)/s.aging)
		if e.priority <= math.MaxInt-passed {
			e.priority += passed
		}
		e.ages = e.ages.Add(time.Duration(passed) * s.aging)
		s.unlink(i)
		s.link(i)
		heap.Fix(&e.lane.steps, e.place)
	}
}

// choose takes the next step to run, or returns nil. In a pool whose first step does not fit nothing is run, so
// that a step that needs many slots gets them.
func (s *Scheduler) choose(now time.Time) *workflow.ReadyStep {
	var first *lane
	for _, p := range s.all {
		if l := s.firstOf(p, now); l != nil && s.elements[l.steps.order[0]].step.Slots <= p.size-p.used &&
			(first == nil || s.earlier(l, first)) {
			first = l
		}
	}
	if first == nil {
		return nil
	}
	i := first.steps.order[0]
	step := s.elements[i].step
	if first.key.retry {
		first.workflow.tokens--
	}
	s.remove(i)
	s.running++
	first.pool.used += step.Slots
	first.workflow.running++
	first.function.running++
	return step
}

// firstOf returns the lane of a pool whose turn it is, nil if all are held back.
func (s *Scheduler) firstOf(p *pool, now time.Time) (first *lane) {
	for _, l := range p.waiting {
		if l.function.full() || l.workflow.full() {
			continue
		}
		if l.key.retry {
			if at := s.token(l.workflow, now); at.After(now) {
				if s.retriesPossible.IsZero() || at.Before(s.retriesPossible) {
					s.retriesPossible = at
				}
				continue
			}
		}
		if first == nil || s.earlier(l, first) {
			first = l
		}
	}
	return first
}

// earlier reports whether the first step of a goes before that of b.
func (s *Scheduler) earlier(a, b *lane) bool {
	x, y := &s.elements[a.steps.order[0]], &s.elements[b.steps.order[0]]
	if x.priority != y.priority || a.workflow.running == b.workflow.running {
		return x.before(y)
	}
	return a.workflow.running < b.workflow.running
}

// token refills a workflow's budget and returns when it has a token: now or later.
func (s *Scheduler) token(of *share, now time.Time) time.Time {
	if of.refilled.IsZero() {
		of.tokens = float64(s.budget.Burst)
	} else {
		of.tokens = min(of.tokens+now.Sub(of.refilled).Seconds()*s.budget.PerSecond, float64(s.budget.Burst))
	}
	of.refilled = now
	const almost = 1 - 1e-9 // a wake at the computed time must find a token
	if of.tokens >= almost {
		return now
	}
	return now.Add(time.Duration(math.Ceil((1 - of.tokens) / s.budget.PerSecond * float64(time.Second))))
}

// release gives back what a step held.
func (s *Scheduler) release(step *workflow.ReadyStep) {
	s.running--
	s.poolOf(step).used -= step.Slots
	s.shareOf(s.workflows, step.Workflow).running--
	s.shareOf(s.functions, step.Function).running--
}

// Explain implements workflow.Scheduler.
func (s *Scheduler) Explain(now time.Time, step *workflow.ReadyStep) string {
	e := &s.elements[step.Position]
	l := e.lane
	switch {
	case l.pool == nil:
		return fmt.Sprintf("pool %s: the scheduler has no such pool", step.Pool)
	case l.key.never:
		return fmt.Sprintf("pool %s: it needs %d slots and the pool has %d", step.Pool, step.Slots, l.pool.size)
	case l.function.full():
		return fmt.Sprintf("function %s: %d of %d steps are running", l.key.function, l.function.running, l.function.limit)
	case l.workflow.full():
		return fmt.Sprintf("workflow %s: %d of %d steps are running", l.key.workflow, l.workflow.running, l.workflow.limit)
	case s.running >= s.limit:
		return fmt.Sprintf("limit: %d of %d steps are running", s.running, s.limit)
	}
	if l.key.retry {
		tokens := l.workflow.tokens + now.Sub(l.workflow.refilled).Seconds()*s.budget.PerSecond
		if !l.workflow.refilled.IsZero() && tokens < 1 {
			return fmt.Sprintf("retry budget of workflow %s is used up: %g retries a second", l.key.workflow, s.budget.PerSecond)
		}
	}
	first := s.earliest(l)
	if head := s.elements[first.steps.order[0]].step; head.Slots > l.pool.size-l.pool.used {
		why := fmt.Sprintf("pool %s: %d of %d slots are in use", step.Pool, l.pool.used, l.pool.size)
		if head != step {
			why += fmt.Sprintf(", and step %s, which goes before, needs %d", head.Execution.Key(head.Step), head.Slots)
		}
		return why
	}
	return "it is about to run"
}

// earliest is the lane whose turn it is in the pool of a lane that is not held back. Of retries it looks at those of that lane alone.
func (s *Scheduler) earliest(of *lane) *lane {
	first := of
	for _, l := range of.pool.waiting {
		if !l.key.retry && !l.function.full() && !l.workflow.full() && s.earlier(l, first) {
			first = l
		}
	}
	return first
}
