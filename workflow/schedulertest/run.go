package schedulertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var poolsOfTwo = Limits{Steps: 6, Pools: map[string]int{"cpu": 4, "gpu": 2}}

// busy plays a random story of 400 steps of several workflows, functions, pools and priorities, with failures,
// retries and withdrawals, and returns the world when all is done. look is called between decisions.
func busy(tb testing.TB, h Harness, seed uint64, look func(w *world, waiting []*workflow.ReadyStep)) *world {
	w := newWorld(tb, h, poolsOfTwo)
	r := rand.New(rand.NewPCG(seed, 1))
	if l, ok := w.s.(workflow.Learner); ok {
		for i := range 3 {
			l.Describe(workflowOf(i), &workflow.Graph{
				Nodes: []workflow.Node{{Name: "n-0", Function: functionOf(0)}, {Name: "n-1", Function: functionOf(1)}, {Name: "n-2", Function: functionOf(2)}},
				Edges: []workflow.Edge{{From: "n-0", To: "n-1", Choice: true}, {From: "n-0", To: "n-2", Choice: true}},
			})
		}
	}
	var waiting []*workflow.ReadyStep // may have run since
	left := func(from []*workflow.ReadyStep, in map[*workflow.ReadyStep]bool) (left []*workflow.ReadyStep) {
		for _, s := range from {
			if in[s] {
				left = append(left, s)
			}
		}
		return left
	}
	arrivals := 0
	for arrivals < 400 {
		waiting = left(waiting, w.waiting)
		running := left(w.order, w.running)
		switch n := r.IntN(10); {
		case n < 4:
			arrivals++
			s := w.step(func(s *workflow.ReadyStep) {
				i := r.IntN(3)
				s.Workflow, s.Node, s.Function = workflowOf(i), fmt.Sprint("n-", r.IntN(3)), functionOf(r.IntN(3))
				s.Pool, s.Slots = []string{"", "cpu", "gpu"}[i], 1+r.IntN(2)
				s.Priority = r.IntN(3) - 1
			})
			waiting = append(waiting, s)
			w.ready(s)
		case n < 8 && len(running) > 0:
			s := running[r.IntN(len(running))]
			failed := r.IntN(4) == 0
			w.done(s, workflow.StepRecord{Run: time.Duration(r.IntN(1000)) * time.Millisecond, Cold: time.Duration(r.IntN(2)) * time.Second, Failed: failed})
			if failed && s.Attempt < 3 {
				again := *s
				again.Attempt++
				waiting = append(waiting, &again)
				w.ready(&again)
			} else {
				w.ended(s.Execution)
			}
		case n == 8 && len(waiting) > 0:
			s := waiting[r.IntN(len(waiting))]
			w.withdraw(s)
			w.ended(s.Execution)
		default:
			w.sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
		}
		if look != nil {
			look(w, left(waiting, w.waiting))
		}
	}
	w.finish()
	return w
}

func workflowOf(i int) faas.Ref {
	return faas.Ref{Namespace: "default", Name: fmt.Sprint("w-", i), Version: "1"}
}
func functionOf(i int) faas.Ref { return faas.Ref{Namespace: "default", Name: fmt.Sprint("f-", i)} }

var runClauses = []clause{
	{Name: "run/each-step-once", Check: func(tb testing.TB, h Harness) {
		for seed := range uint64(5) {
			busy(tb, h, seed, nil)
		}
	}},
	{Name: "run/at-once-when-nothing-limits", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{})
		for range 1000 {
			w.ready(w.step(nil))
		}
		if len(w.running) != 1000 {
			tb.Errorf("%d of 1000 steps run, and there is no limit", len(w.running))
		}
		w.finish()
	}},
	{Name: "run/withdrawn-is-never-returned", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		var steps []*workflow.ReadyStep
		for range 50 {
			s := w.step(nil)
			steps = append(steps, s)
			w.ready(s)
		}
		r := rand.New(rand.NewPCG(1, 2))
		r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		withdrawn := 0
		for _, s := range steps[:25] {
			if w.waiting[s] {
				w.withdraw(s)
				w.ended(s.Execution)
				withdrawn++
			}
		}
		w.finish()
		if len(w.order) != 50-withdrawn {
			tb.Errorf("%d steps ran, want %d", len(w.order), 50-withdrawn)
		}
	}},
	{Name: "run/withdrawal-clears-the-way", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 2}})
		slots := func(n int) *workflow.ReadyStep {
			return w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots = "p", n })
		}
		first, wide, narrow := slots(1), slots(2), slots(1)
		w.ready(first, wide, narrow)
		if w.waiting[wide] {
			w.withdraw(wide)
		}
		if !w.running[narrow] {
			tb.Errorf("a step for which there is a slot does not run after the one before it was withdrawn: %s", w.s.Explain(w.now, narrow))
		}
		w.finish()
	}},
	{Name: "run/the-same-step-again", Check: func(tb testing.TB, h Harness) { // the engine may use a ReadyStep again for the next attempt
		w := newWorld(tb, h, Limits{Steps: 1})
		a, b := w.step(nil), w.step(nil)
		w.ready(a, b)
		for attempt := 2; attempt < 5; attempt++ {
			w.done(a, workflow.StepRecord{Failed: true})
			a.Attempt = attempt
			delete(w.gone, a)
			w.ready(a)
			w.settle()
			w.done(b, workflow.StepRecord{Failed: true})
			b.Attempt = attempt
			delete(w.gone, b)
			w.ready(b)
			w.settle()
		}
		w.finish()
		if len(w.order) != 8 {
			tb.Errorf("%d attempts ran, want 8", len(w.order))
		}
	}},
}

var decisionClauses = []clause{
	{Name: "decision/what-is-there-stays", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{})
		other, s := w.step(nil), w.step(nil)
		w.s.Ready(w.now, s)
		d := workflow.Decision{Run: []*workflow.ReadyStep{other}, Prewarm: []workflow.Prewarm{{Node: "other"}}}
		w.s.Next(w.now, &d)
		if len(d.Run) != 2 || d.Run[0] != other || d.Run[1] != s || len(d.Prewarm) != 1 || d.Prewarm[0].Node != "other" {
			tb.Errorf("Next does not append: %+v", d)
		}
	}},
	{Name: "decision/same-calls-same-decisions", Check: func(tb testing.TB, h Harness) {
		want := busy(tb, h, 7, nil).log.String()
		for range 3 {
			if got := busy(tb, h, 7, nil).log.String(); got != want {
				tb.Fatalf("the same calls, other decisions: %s", firstDifference(got, want))
			}
		}
	}},
	{Name: "decision/explain-changes-nothing", Check: func(tb testing.TB, h Harness) {
		want := busy(tb, h, 8, nil).log.String()
		got := busy(tb, h, 8, func(w *world, waiting []*workflow.ReadyStep) {
			for _, s := range waiting {
				if w.s.Explain(w.now, s) == "" {
					tb.Errorf("there is no reason why step %s waits", s.Step)
				}
			}
		}).log.String()
		if got != want {
			tb.Errorf("with calls of Explain, other decisions: %s", firstDifference(got, want))
		}
	}},
	{Name: "decision/explain-names-the-pool", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"gpu-a100": 2}})
		var last *workflow.ReadyStep
		for range 3 {
			last = w.step(func(s *workflow.ReadyStep) { s.Pool = "gpu-a100" })
			w.ready(last)
		}
		if why := w.s.Explain(w.now, last); !strings.Contains(why, "gpu-a100") || !strings.Contains(why, "2") {
			tb.Errorf("the pool gpu-a100 has 2 slots, which are in use; it says %q", why)
		}
		w.finish()
	}},
	{Name: "decision/explain-names-the-limit", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 3})
		var last *workflow.ReadyStep
		for range 4 {
			last = w.step(nil)
			w.ready(last)
		}
		if why := w.s.Explain(w.now, last); !strings.Contains(why, "3") {
			tb.Errorf("the limit is 3 steps, which run; it says %q", why)
		}
		w.finish()
	}},
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("decision %d:\n     %s\nonce %s", i, x[i], y[i])
		}
	}
	return "one is longer"
}
