package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// schedule is the engine's side of the scheduler (W3): one caller at a time, never with an earlier now.
type schedule struct {
	e     *Engine
	mu    sync.Mutex
	s     workflow.Scheduler
	learn workflow.Learner // nil if s learns nothing
	// described are the workflow versions whose graphs the learner has.
	described map[faas.Ref]struct{}
	d         workflow.Decision
	base      time.Time
	wake      *time.Timer
	halted    bool
}

// ended is a call that has ended, with its record unless the scheduler is to learn nothing from it.
type endedCall struct {
	call   *call
	record workflow.StepRecord
}

func (s *schedule) init(e *Engine, scheduler workflow.Scheduler) {
	s.e, s.s = e, scheduler
	s.learn, _ = scheduler.(workflow.Learner)
	s.described = make(map[faas.Ref]struct{})
	s.base = time.Now()
}

// now is monotonic, whatever happens to the machine's clock.
func (s *schedule) now() time.Time { return s.base.Add(time.Since(s.base)) }

// change tells the scheduler what happened and starts what it decides. One of the decided calls is
// returned instead, for the caller's own goroutine, if keep is set.
func (s *schedule) change(ended []endedCall, ready []*call, over *run, keep bool) (mine *call) {
	s.mu.Lock()
	now := s.now()
	for i := range ended {
		c := ended[i].call
		if c.decided {
			s.s.Done(now, &c.ready, ended[i].record)
		} else {
			s.s.Withdraw(now, &c.ready)
		}
	}
	for _, c := range ready {
		s.describe(c)
		c.ready.Since = now
		s.s.Ready(now, &c.ready)
	}
	if over != nil && s.learn != nil {
		s.learn.Ended(now, over.ref)
	}
	mine = s.next(now, keep)
	s.mu.Unlock()
	return mine
}

// next asks what to do now. The caller holds the lock.
func (s *schedule) next(now time.Time, keep bool) (mine *call) {
	if s.halted {
		return nil
	}
	s.d.Run, s.d.Prewarm, s.d.Wake = s.d.Run[:0], s.d.Prewarm[:0], time.Time{}
	s.s.Next(now, &s.d)
	for _, r := range s.d.Run {
		c := r.Owner.(*call)
		c.decided = true
		if mine != nil {
			s.start(mine)
		}
		mine = c
	}
	clear(s.d.Run)
	if mine != nil && !keep {
		s.start(mine)
		mine = nil
	}
	for _, p := range s.d.Prewarm {
		s.prewarm(p)
	}
	if s.d.Wake.IsZero() {
		if s.wake != nil {
			s.wake.Stop()
		}
		return mine
	}
	if d := max(s.d.Wake.Sub(now), 0); s.wake == nil {
		s.wake = time.AfterFunc(d, s.awake)
	} else {
		s.wake.Reset(d)
	}
	return mine
}

func (s *schedule) awake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next(s.now(), false)
}

// start runs a call in a goroutine of its own.
func (s *schedule) start(c *call) {
	if s.e.work.begin() {
		go c.main()
	}
}

func (s *schedule) prewarm(p workflow.Prewarm) {
	if s.e.prewarm == nil {
		return
	}
	s.e.spawn(func() {
		if err := s.e.prewarm.Prewarm(s.e.ctx, p); err != nil {
			s.e.log.Warn("prewarming failed", "function", p.Function.String(), "error", err)
		}
	})
}

// describe gives the learner the graph of a workflow version that it has not seen.
func (s *schedule) describe(c *call) {
	if s.learn == nil {
		return
	}
	if _, ok := s.described[c.ready.Workflow]; ok {
		return
	}
	if len(s.described) == maxKept {
		clear(s.described) // a graph given twice does no harm
	}
	s.described[c.ready.Workflow] = struct{}{}
	if g, ok := c.run.program.(workflow.Grapher); ok {
		s.learn.Describe(c.ready.Workflow, within(c.ready.Workflow.Namespace, g.Graph()))
	}
}

// within gives functions without a namespace that of the workflow.
func within(namespace string, g *workflow.Graph) *workflow.Graph {
	named := &workflow.Graph{Nodes: slices.Clone(g.Nodes), Edges: g.Edges}
	for i := range named.Nodes {
		if f := &named.Nodes[i].Function; f.Name != "" && f.Namespace == "" {
			f.Namespace = namespace
		}
	}
	return named
}

// withdraw takes a call back unless it was decided to run it.
func (s *schedule) withdraw(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.decided {
		return false
	}
	now := s.now()
	s.s.Withdraw(now, &c.ready)
	s.next(now, false)
	return true
}

// halt lets nothing more be started.
func (s *schedule) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
	if s.wake != nil {
		s.wake.Stop()
	}
}

// explain says why a call that waits does not run, or "" once it was decided.
func (s *schedule) explain(c *call) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.decided {
		return ""
	}
	return s.s.Explain(s.now(), &c.ready)
}
