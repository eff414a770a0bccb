// Package simulation is a platform in virtual time that runs generated workflows by a workflow scheduler: the same work
// for each scheduler, so that what they make of it can be compared without noise.
package simulation

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Config is the work and the platform.
type Config struct {
	Workflows []*Workflow
	// Executions is how many there are, Gap the mean time between their starts.
	Executions int
	Gap        time.Duration
	// Cold: functions have cold starts, between half a second and three by the function; an
	// instance that is idle for Keep is gone.
	Cold bool
	Keep time.Duration
	// Slots is the scheduler's limit, for Result.Least.
	Slots int
}

// Result is what a scheduler made of the work.
type Result struct {
	Executions, Steps int
	// Mean is how long an execution took, Least how long at least.
	Mean, Least time.Duration
	// ColdStarts are the steps that waited for one, Prewarmed the instances that the scheduler asked for.
	ColdStarts, Prewarmed int
}

// platform runs steps.
type platform struct {
	Config
	s      workflow.Scheduler
	now    time.Time
	agenda agenda
	number int
	idle   map[faas.Ref][]time.Time // instances of a function: since when each is idle, the oldest first
	woken  time.Time
	result Result
}

// Run runs the work by a new scheduler.
func Run(s workflow.Scheduler, c Config) Result {
	p := &platform{Config: c, s: s, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), idle: map[faas.Ref][]time.Time{}}
	if l, ok := s.(workflow.Learner); ok {
		for _, w := range c.Workflows {
			l.Describe(w.ref, &w.graph)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	at := p.now
	for i := range c.Executions {
		x := c.Workflows[r.IntN(len(c.Workflows))].execution(r, i, at)
		p.result.Least += x.least(c.Slots)
		p.at(at, func() { p.ready(x, 0) })
		at = at.Add(time.Duration(r.ExpFloat64() * float64(c.Gap)))
	}
	for len(p.agenda) > 0 {
		next := heap.Pop(&p.agenda).(entry)
		p.now = next.at
		next.do()
		p.decide()
	}
	p.result.Mean /= time.Duration(p.result.Executions)
	p.result.Least /= time.Duration(c.Executions)
	return p.result
}

func (p *platform) at(t time.Time, do func()) {
	p.number++
	heap.Push(&p.agenda, entry{t, p.number, do})
}

func (p *platform) ready(x *execution, step int) {
	x.open++
	n := x.graph.Nodes[step]
	p.s.Ready(p.now, &workflow.ReadyStep{Execution: x.ref, Workflow: x.Workflow.ref, Step: n.Name, Node: n.Name, Function: n.Function,
		Attempt: 1, Slots: 1, Since: p.now, Owner: func(s *workflow.ReadyStep) { p.start(x, step, s) }})
}

func (p *platform) decide() {
	var d workflow.Decision
	p.s.Next(p.now, &d)
	for _, s := range d.Run {
		s.Owner.(func(*workflow.ReadyStep))(s)
	}
	for _, warm := range d.Prewarm {
		p.result.Prewarmed++
		p.at(p.now.Add(p.cold(warm.Function)), func() { p.idle[warm.Function] = append(p.idle[warm.Function], p.now) })
	}
	if !d.Wake.IsZero() && !d.Wake.Equal(p.woken) {
		p.woken = d.Wake
		p.at(d.Wake, func() {})
	}
}

// cold is how long a cold start of a function takes.
func (p *platform) cold(f faas.Ref) time.Duration {
	if !p.Cold {
		return 0
	}
	sum := 0
	for _, c := range f.Name {
		sum = sum*31 + int(c)
	}
	return 500*time.Millisecond + time.Duration(sum%2500)*time.Millisecond
}

// instance takes an instance of a function and returns how long its cold start takes, 0 for a warm one.
func (p *platform) instance(f faas.Ref) time.Duration {
	idle := p.idle[f]
	for len(idle) > 0 && p.now.Sub(idle[0]) > p.Keep {
		idle = idle[1:]
	}
	if len(idle) > 0 {
		p.idle[f] = idle[:len(idle)-1]
		return 0
	}
	p.idle[f] = idle
	cold := p.cold(f)
	if cold > 0 {
		p.result.ColdStarts++
	}
	return cold
}

func (p *platform) start(x *execution, step int, s *workflow.ReadyStep) {
	p.result.Steps++
	cold := p.instance(s.Function)
	took := cold + x.runs[step]
	p.at(p.now.Add(took), func() {
		p.idle[s.Function] = append(p.idle[s.Function], p.now)
		x.open--
		x.follow(step, func(next int) { p.ready(x, next) })
		p.s.Done(p.now, s, workflow.StepRecord{Workflow: s.Workflow, Node: s.Node, Function: s.Function, Attempt: 1, Ended: p.now, Run: took, Cold: cold})
		if x.open > 0 {
			return
		}
		p.result.Executions++
		p.result.Mean += p.now.Sub(x.began)
		if l, ok := p.s.(workflow.Learner); ok {
			l.Ended(p.now, x.ref)
		}
	})
}

// entry is something to do at a time.
type entry struct {
	at     time.Time
	number int
	do     func()
}

type agenda []entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].number < a[j].number
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(v any)   { *a = append(*a, v.(entry)) }
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}
