package schedulertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
)

// double is a correct scheduler of which single methods are replaced.
type double struct {
	correct
	ready    func(time.Time, *workflow.ReadyStep)
	withdraw func(time.Time, *workflow.ReadyStep)
	done     func(time.Time, *workflow.ReadyStep, workflow.StepRecord)
	next     func(time.Time, *workflow.Decision)
	explain  func(time.Time, *workflow.ReadyStep) string
	describe func(faas.Ref, *workflow.Graph)
	observe  func(workflow.StepRecord)
	ended    func(time.Time, workflow.ExecutionRef)
}

type correct interface {
	workflow.Scheduler
	workflow.Learner
}

func (d *double) Ready(now time.Time, s *workflow.ReadyStep)    { d.ready(now, s) }
func (d *double) Withdraw(now time.Time, s *workflow.ReadyStep) { d.withdraw(now, s) }
func (d *double) Done(now time.Time, s *workflow.ReadyStep, r workflow.StepRecord) {
	d.done(now, s, r)
}
func (d *double) Next(now time.Time, to *workflow.Decision)           { d.next(now, to) }
func (d *double) Explain(now time.Time, s *workflow.ReadyStep) string { return d.explain(now, s) }
func (d *double) Describe(ref faas.Ref, g *workflow.Graph)            { d.describe(ref, g) }
func (d *double) Observe(r workflow.StepRecord)                       { d.observe(r) }
func (d *double) Ended(now time.Time, x workflow.ExecutionRef)        { d.ended(now, x) }
func doubleOf(s correct) *double {
	return &double{s, s.Ready, s.Withdraw, s.Done, s.Next, s.Explain, s.Describe, s.Observe, s.Ended}
}

func critical(tb testing.TB, l Limits) *criticalpath.Scheduler {
	s, err := criticalpath.New(criticalpath.Config{Limit: l.Steps, Pools: l.Pools})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// spoiled is the harness of a correct scheduler spoiled by f.
func spoiled(f func(d *double)) Harness {
	return Harness{Priorities: true, Prewarms: true, New: func(tb testing.TB, l Limits) workflow.Scheduler {
		d := doubleOf(critical(tb, l))
		f(d)
		return d
	}}
}

// limited is the harness of a correct scheduler that is made with other limits than asked for.
func limited(f func(*Limits)) Harness {
	return Harness{Priorities: true, Prewarms: true, New: func(tb testing.TB, l Limits) workflow.Scheduler {
		pools := map[string]int{}
		for name, n := range l.Pools {
			pools[name] = n
		}
		l.Pools = pools
		f(&l)
		return critical(tb, l)
	}}
}

// naive is a scheduler that looks at all steps each time; pick says which of those that fit goes first. If
// it returns a step that does not fit, nothing is run until it does.
type naive struct {
	limits  Limits
	waiting []*workflow.ReadyStep
	used    map[string]int
	running int
	pick    func(waiting []*workflow.ReadyStep, fits func(*workflow.ReadyStep) bool) *workflow.ReadyStep
}

func (n *naive) Ready(_ time.Time, s *workflow.ReadyStep) { n.waiting = append(n.waiting, s) }
func (n *naive) Withdraw(_ time.Time, s *workflow.ReadyStep) {
	n.waiting = slices.DeleteFunc(n.waiting, func(o *workflow.ReadyStep) bool { return o == s })
}
func (n *naive) Done(_ time.Time, s *workflow.ReadyStep, _ workflow.StepRecord) {
	n.used[s.Pool] -= s.Slots
	n.running--
}
func (n *naive) fits(s *workflow.ReadyStep) bool {
	return (n.limits.Steps == 0 || n.running < n.limits.Steps) && (s.Pool == "" || n.used[s.Pool]+s.Slots <= n.limits.Pools[s.Pool])
}
func (n *naive) Next(now time.Time, d *workflow.Decision) {
	d.Wake = time.Time{}
	for len(n.waiting) > 0 {
		s := n.pick(n.waiting, n.fits)
		if s == nil || !n.fits(s) {
			return
		}
		n.Withdraw(now, s)
		n.used[s.Pool] += s.Slots
		n.running++
		d.Run = append(d.Run, s)
	}
}
func (n *naive) Explain(_ time.Time, s *workflow.ReadyStep) string {
	return fmt.Sprintf("pool %s, limits %v", s.Pool, n.limits)
}

// picking is the harness of a naive scheduler.
func picking(pick func([]*workflow.ReadyStep, func(*workflow.ReadyStep) bool) *workflow.ReadyStep) Harness {
	return Harness{Priorities: true, New: func(_ testing.TB, l Limits) workflow.Scheduler {
		return &naive{limits: l, used: map[string]int{}, pick: pick}
	}}
}

// best picks of those that fit the one that comes first by less.
func best(less func(a, b *workflow.ReadyStep) bool) Harness {
	return picking(func(waiting []*workflow.ReadyStep, fits func(*workflow.ReadyStep) bool) (first *workflow.ReadyStep) {
		for _, s := range waiting {
			if fits(s) && (first == nil || less(s, first)) {
				first = s
			}
		}
		return first
	})
}

// every ignores each nth call.
func every(n int) func() bool {
	count := 0
	return func() bool {
		count++
		return count%n == 0
	}
}

// asks asks for a node at a time after the first decision, once.
func asks(node string, after time.Duration) Harness {
	return spoiled(func(d *double) {
		var at time.Time
		asked := false
		d.next = func(now time.Time, to *workflow.Decision) {
			d.correct.Next(now, to)
			if at.IsZero() {
				at = now.Add(after)
			}
			switch {
			case asked:
			case !now.Before(at):
				asked = true
				to.Prewarm = append(to.Prewarm, workflow.Prewarm{Node: node})
			case to.Wake.IsZero() || at.Before(to.Wake):
				to.Wake = at
			}
		}
	})
}

// prewarming changes what is asked for.
func prewarming(f func([]workflow.Prewarm) []workflow.Prewarm) Harness {
	return spoiled(func(d *double) {
		d.next = func(now time.Time, to *workflow.Decision) {
			d.correct.Next(now, to)
			to.Prewarm = f(to.Prewarm)
		}
	})
}

func explaining(why string) Harness {
	return spoiled(func(d *double) { d.explain = func(time.Time, *workflow.ReadyStep) string { return why } })
}

var forgetsWithdrawals = spoiled(func(d *double) { d.withdraw = func(time.Time, *workflow.ReadyStep) {} })

// broken has for each clause the harnesses that it must not pass.
func broken() map[string][]Harness {
	return map[string][]Harness{
		"run/each-step-once": {
			spoiled(func(d *double) { // loses steps
				lose := every(50)
				d.ready = func(now time.Time, s *workflow.ReadyStep) {
					if !lose() {
						d.correct.Ready(now, s)
					}
				}
			}),
			spoiled(func(d *double) { // runs steps twice
				twice := every(50)
				d.next = func(now time.Time, to *workflow.Decision) {
					d.correct.Next(now, to)
					if len(to.Run) > 0 && twice() {
						to.Run = append(to.Run, to.Run[0])
					}
				}
			}),
			spoiled(func(d *double) { // is woken too late: now
				d.next = func(now time.Time, to *workflow.Decision) {
					d.correct.Next(now, to)
					to.Wake = now
				}
			}),
			forgetsWithdrawals,
			limited(func(l *Limits) { l.Pools["cpu"]++ }),
		},
		"run/at-once-when-nothing-limits": {limited(func(l *Limits) { l.Steps = 999 })},
		"run/withdrawn-is-never-returned": {forgetsWithdrawals},
		"run/withdrawal-clears-the-way": {spoiled(func(d *double) { // decides only when a step came or ended
			skip := false
			d.withdraw = func(now time.Time, s *workflow.ReadyStep) {
				d.correct.Withdraw(now, s)
				skip = true
			}
			d.next = func(now time.Time, to *workflow.Decision) {
				if to.Wake = (time.Time{}); !skip {
					d.correct.Next(now, to)
				}
				skip = false
			}
		})},
		"run/the-same-step-again": {spoiled(func(d *double) {
			seen := map[*workflow.ReadyStep]bool{}
			d.ready = func(now time.Time, s *workflow.ReadyStep) {
				if !seen[s] {
					d.correct.Ready(now, s)
				}
				seen[s] = true
			}
		})},

		"limits/steps":                 {limited(func(l *Limits) { l.Steps++ }), limited(func(l *Limits) { l.Steps-- })},
		"limits/pools":                 {limited(func(l *Limits) { l.Pools["p"]++ }), limited(func(l *Limits) { l.Pools["p"]-- })},
		"limits/every-slot-is-used":    {limited(func(l *Limits) { l.Pools["p"]-- })},
		"limits/pools-are-independent": {limited(func(l *Limits) { l.Steps = 1 })},
		"limits/what-failed-gives-back-too": {spoiled(func(d *double) {
			d.done = func(now time.Time, s *workflow.ReadyStep, r workflow.StepRecord) {
				if !r.Failed {
					d.correct.Done(now, s, r)
				}
			}
		})},
		"limits/unknown-pool-never-runs": {limited(func(l *Limits) { l.Pools["no-such-pool"] = 1 << 30 }), explaining("it waits"),
			picking(func(waiting []*workflow.ReadyStep, _ func(*workflow.ReadyStep) bool) *workflow.ReadyStep {
				return waiting[0]
			})},
		"limits/larger-than-its-pool-never-runs": {limited(func(l *Limits) { l.Pools["p"] = 4 }), explaining("it waits"),
			picking(func(waiting []*workflow.ReadyStep, _ func(*workflow.ReadyStep) bool) *workflow.ReadyStep {
				return waiting[0]
			})},

		"order/age": {
			picking(func(waiting []*workflow.ReadyStep, _ func(*workflow.ReadyStep) bool) *workflow.ReadyStep {
				return waiting[len(waiting)-1]
			}),
			best(func(a, b *workflow.ReadyStep) bool { return a.Step < b.Step }),
		},
		"order/priority": {
			best(func(a, b *workflow.ReadyStep) bool { return false }),
			best(func(a, b *workflow.ReadyStep) bool { return a.Priority < b.Priority }),
			best(func(a, b *workflow.ReadyStep) bool { return int32(a.Priority) > int32(b.Priority) }),
			{New: spoiled(func(*double) {}).New}, // says it looks at no priorities, and does
		},
		"order/no-starvation-by-priority": {best(func(a, b *workflow.ReadyStep) bool { return a.Priority > b.Priority })},
		"order/no-starvation-by-size":     {best(func(a, b *workflow.ReadyStep) bool { return false })},
		"order/no-starvation-by-workflow": {best(func(a, b *workflow.ReadyStep) bool { return a.Workflow.Name == "work" && b.Workflow.Name != "work" })},

		"decision/what-is-there-stays": {spoiled(func(d *double) {
			d.next = func(now time.Time, to *workflow.Decision) {
				to.Run = to.Run[:0]
				d.correct.Next(now, to)
			}
		}), prewarming(func([]workflow.Prewarm) []workflow.Prewarm { return nil })},
		"decision/same-calls-same-decisions": {picking(func(waiting []*workflow.ReadyStep, fits func(*workflow.ReadyStep) bool) *workflow.ReadyStep {
			var fit []*workflow.ReadyStep
			for _, s := range waiting {
				if fits(s) {
					fit = append(fit, s)
				}
			}
			if len(fit) == 0 {
				return nil
			}
			return fit[rand.IntN(len(fit))]
		})},
		"decision/explain-changes-nothing": {explaining(""), spoiled(func(d *double) {
			third := every(3)
			d.explain = func(now time.Time, s *workflow.ReadyStep) string { // takes some to the end of the line
				if third() {
					d.correct.Withdraw(now, s)
					d.correct.Ready(now, s)
				}
				return "it waits"
			}
		})},
		"decision/explain-names-the-pool":  {explaining("it waits"), explaining("pool gpu-a100 is full")},
		"decision/explain-names-the-limit": {explaining("the limit is reached")},

		"learner/strange-graphs": {spoiled(func(d *double) {
			d.describe = func(ref faas.Ref, g *workflow.Graph) {
				index := map[string]*workflow.Node{}
				for i := range g.Nodes {
					index[g.Nodes[i].Name] = &g.Nodes[i]
				}
				for _, e := range g.Edges {
					_ = index[e.To].Kind
				}
			}
		})},
		"learner/strange-records": {spoiled(func(d *double) {
			d.observe = func(r workflow.StepRecord) { _ = make([]byte, 10)[:r.Run/time.Duration(max(1, r.Run/10))] }
		})},
		"learner/unknown-and-repeated-ends": {spoiled(func(d *double) {
			open := map[workflow.ExecutionRef]*int{}
			d.ready = func(now time.Time, s *workflow.ReadyStep) {
				open[s.Execution] = new(int)
				d.correct.Ready(now, s)
			}
			d.ended = func(_ time.Time, x workflow.ExecutionRef) {
				*open[x]++
				delete(open, x)
			}
		})},
		"learner/memory-is-bounded": {spoiled(func(d *double) {
			var all []*[512]byte
			d.observe = func(workflow.StepRecord) { all = append(all, new([512]byte)) }
		})},

		"prewarm/what-is-expected-in-time": {
			prewarming(func([]workflow.Prewarm) []workflow.Prewarm { return nil }),
			asks("b", 0),
			prewarming(func(p []workflow.Prewarm) []workflow.Prewarm { return append(p, p...) }),
			prewarming(func(p []workflow.Prewarm) []workflow.Prewarm {
				for i := range p {
					p[i].Why = ""
				}
				return p
			}),
			{New: spoiled(func(*double) {}).New}, // says it does not prewarm, and does
		},
		"prewarm/nothing-that-starts-fast": {spoiled(func(d *double) {
			d.observe = func(r workflow.StepRecord) {
				r.Cold = max(r.Cold, time.Millisecond)
				d.correct.Observe(r)
			}
		})},
		"prewarm/two-steps-ahead":                    {prewarming(func([]workflow.Prewarm) []workflow.Prewarm { return nil })},
		"prewarm/joins-wait-for-the-last":            {asks("c", 3*time.Second), prewarming(func([]workflow.Prewarm) []workflow.Prewarm { return nil })},
		"prewarm/once-for-many-steps":                {prewarming(func(p []workflow.Prewarm) []workflow.Prewarm { return append(p, p...) })},
		"prewarm/not-what-has-come":                  {asks("b", 8*time.Second)},
		"prewarm/not-after-the-end":                  {spoiled(func(d *double) { d.ended = func(time.Time, workflow.ExecutionRef) {} })},
		"prewarm/not-what-a-choice-made-unnecessary": {asks("e", 6*time.Second), prewarming(func([]workflow.Prewarm) []workflow.Prewarm { return nil })},
		"prewarm/choices-are-learned": {prewarming(func(p []workflow.Prewarm) []workflow.Prewarm {
			if len(p) > 0 && p[0].Node == "c" { // both ways
				p = append(p, workflow.Prewarm{Node: "b"})
			}
			return p
		})},
	}
}
