// Package fifo is a workflow scheduler (W3) that runs steps in the order they became
// ready, with an optional limit and named pools. It learns nothing and looks at no priority; a decision
// takes constant time and allocates nothing in steady state. It is what most embedders want until functions
// are scarce; criticalpath is for then.
//
// Within a pool the order is strict: a step that needs many slots is not overtaken by
// smaller ones that came later, so nothing starves. A step whose pool is not configured, or that asks for
// more slots than its pool has, never runs, and Explain says so: a limit that cannot be applied is not dropped.
//
// # Snippet
//
//	s := fifo.New(&fifo.Options{Limit: 100, Pools: map[string]int{"gpu": 4}})
//
// # Errors
//
// None: a scheduler's methods have no errors.
//
// # Concurrency
//
// As the contract says: called by one goroutine at a time. There are no goroutines.
package fifo

import (
	"fmt"
	"math"
	"time"

	"github.com/joinery/faas/workflow"
)

// Options of New; nil means the defaults.
type Options struct {
	// Limit is how many steps run at once, over all pools. Zero or less: no limit.
	Limit int
	// Pools are the slots of each named pool. Steps that name no pool are bound by Limit alone.
	Pools map[string]int
}

var _ workflow.Scheduler = (*Scheduler)(nil)

// Scheduler is a [workflow.Scheduler]; its methods are documented there.
type Scheduler struct {
	limit, running int
	unnamed        *pool
	pools          map[string]*pool
	all            []*pool // unnamed and the pools
	never          *pool   // steps that cannot run: no such pool, or too small a one

	// The steps that wait, as linked lists in one slice: an element is named by its index, which
	// the step knows as its Position. Index 0 is no element.
	elements []element
	free     int
	arrived  uint64
}

type pool struct {
	size, used int
	head, tail int
}

type element struct {
	step       *workflow.ReadyStep
	arrived    uint64
	prev, next int
}

// New returns an empty scheduler.
func New(o *Options) *Scheduler {
	s := &Scheduler{limit: math.MaxInt, unnamed: &pool{size: math.MaxInt}, never: new(pool), pools: map[string]*pool{}, elements: make([]element, 1)}
	s.all = append(s.all, s.unnamed)
	if o == nil {
		return s
	}
	if o.Limit > 0 {
		s.limit = o.Limit
	}
	for name, size := range o.Pools {
		p := &pool{size: max(size, 0)}
		s.pools[name] = p
		s.all = append(s.all, p)
	}
	return s
}

// of returns the pool whose slots a step takes, or nil.
func (s *Scheduler) of(step *workflow.ReadyStep) *pool {
	if step.Pool == "" {
		return s.unnamed
	}
	return s.pools[step.Pool]
}

// queue returns the list that a step waits in.
func (s *Scheduler) queue(step *workflow.ReadyStep) *pool {
	if p := s.of(step); p != nil && step.Slots <= p.size {
		return p
	}
	return s.never
}

// Ready implements workflow.Scheduler.
func (s *Scheduler) Ready(_ time.Time, step *workflow.ReadyStep) {
	p, i := s.queue(step), s.free
	if i == 0 {
		i = len(s.elements)
		s.elements = append(s.elements, element{})
	} else {
		s.free = s.elements[i].next
	}
	s.arrived++
	s.elements[i] = element{step: step, arrived: s.arrived, prev: p.tail}
	if p.tail == 0 {
		p.head = i
	} else {
		s.elements[p.tail].next = i
	}
	p.tail = i
	step.Position = i
}

// Withdraw implements workflow.Scheduler.
func (s *Scheduler) Withdraw(_ time.Time, step *workflow.ReadyStep) {
	s.remove(s.queue(step), step.Position)
}

func (s *Scheduler) remove(p *pool, i int) {
	e := s.elements[i]
	if e.prev == 0 {
		p.head = e.next
	} else {
		s.elements[e.prev].next = e.next
	}
	if e.next == 0 {
		p.tail = e.prev
	} else {
		s.elements[e.next].prev = e.prev
	}
	s.elements[i] = element{next: s.free}
	s.free = i
}

// Done implements workflow.Scheduler.
func (s *Scheduler) Done(_ time.Time, step *workflow.ReadyStep, _ workflow.StepRecord) {
	s.running--
	s.of(step).used -= step.Slots
}

// Next implements workflow.Scheduler. It never asks to be woken.
func (s *Scheduler) Next(_ time.Time, d *workflow.Decision) {
	d.Wake = time.Time{}
	for s.running < s.limit {
		var first *pool
		for _, p := range s.all {
			if p.head != 0 && s.elements[p.head].step.Slots <= p.size-p.used &&
				(first == nil || s.elements[p.head].arrived < s.elements[first.head].arrived) {
				first = p
			}
		}
		if first == nil {
			return
		}
		step := s.elements[first.head].step
		s.remove(first, first.head)
		s.running++
		first.used += step.Slots
		d.Run = append(d.Run, step)
	}
}

// Explain implements workflow.Scheduler.
func (s *Scheduler) Explain(_ time.Time, step *workflow.ReadyStep) string {
	p := s.of(step)
	switch {
	case p == nil:
		return fmt.Sprintf("pool %s: the scheduler has no such pool", step.Pool)
	case step.Slots > p.size:
		return fmt.Sprintf("pool %s: it needs %d slots and the pool has %d", step.Pool, step.Slots, p.size)
	case s.running >= s.limit:
		return fmt.Sprintf("limit: %d of %d steps are running", s.running, s.limit)
	}
	if first := s.elements[p.head].step; first != nil && first.Slots > p.size-p.used {
		why := fmt.Sprintf("pool %s: %d of %d slots are in use", step.Pool, p.used, p.size)
		if first != step {
			why += fmt.Sprintf(", and step %s, which came before, needs %d", first.Execution.Key(first.Step), first.Slots)
		}
		return why
	}
	return "it is about to run"
}
