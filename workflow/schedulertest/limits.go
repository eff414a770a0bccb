package schedulertest

import (
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas/workflow"
)

var limitClauses = []clause{
	{Name: "limits/steps", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 4})
		for range 20 {
			w.ready(w.step(nil))
		}
		for range 16 {
			if len(w.running) != 4 {
				tb.Fatalf("%d steps run, want 4", len(w.running))
			}
			for s := range w.running {
				w.done(s, workflow.StepRecord{Run: time.Second})
				w.ended(s.Execution)
				break
			}
		}
		w.finish()
	}},
	{Name: "limits/pools", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 5}})
		for i := range 30 {
			w.ready(w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots = "p", 1+i%5 }))
		}
		w.finish()
	}},
	{Name: "limits/every-slot-is-used", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 6}})
		for range 5 {
			w.ready(w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots = "p", 2 }))
		}
		if w.used["p"] != 6 {
			tb.Errorf("%d of 6 slots are in use, and there are steps for them", w.used["p"])
		}
		w.finish()
	}},
	{Name: "limits/pools-are-independent", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 1, "q": 1}})
		in := func(pool string) *workflow.ReadyStep {
			return w.step(func(s *workflow.ReadyStep) { s.Pool = pool })
		}
		w.ready(in("p"), in("p"), in("p"))
		q, none := in("q"), in("")
		w.ready(q, none)
		if !w.running[q] || !w.running[none] {
			tb.Errorf("a full pool holds back steps of another pool, or of none")
		}
		w.finish()
	}},
	{Name: "limits/what-failed-gives-back-too", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1, Pools: map[string]int{"p": 1}})
		a, b := w.step(func(s *workflow.ReadyStep) { s.Pool = "p" }), w.step(func(s *workflow.ReadyStep) { s.Pool = "p" })
		w.ready(a, b)
		w.done(a, workflow.StepRecord{Failed: true})
		if !w.running[b] {
			tb.Errorf("the slot of a step that failed is not free: %s", w.s.Explain(w.now, b))
		}
		w.finish()
	}},
	{Name: "limits/unknown-pool-never-runs", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 1}})
		stuck := w.step(func(s *workflow.ReadyStep) { s.Pool = "no-such-pool" })
		other := w.step(nil)
		w.ready(stuck, other)
		w.sleep(24 * time.Hour)
		if !w.waiting[stuck] {
			tb.Errorf("a step runs whose pool there is not: its limit was dropped")
		} else if why := w.s.Explain(w.now, stuck); !strings.Contains(why, "no-such-pool") {
			tb.Errorf("it waits for a pool that there is not; it says %q", why)
		}
		if !w.running[other] {
			tb.Errorf("a step that cannot run holds back another one")
		}
		if w.waiting[stuck] {
			w.withdraw(stuck)
		}
		w.finish()
	}},
	{Name: "limits/larger-than-its-pool-never-runs", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 3}})
		stuck := w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots, s.Priority = "p", 4, 9 })
		other := w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots = "p", 3 })
		w.ready(stuck, other)
		w.sleep(24 * time.Hour)
		if !w.running[other] {
			tb.Errorf("a step that cannot run holds back another one of its pool")
		}
		if w.waiting[stuck] {
			if why := w.s.Explain(w.now, stuck); !strings.Contains(why, "4") || !strings.Contains(why, "3") {
				tb.Errorf("it needs 4 slots of 3; it says %q", why)
			}
			w.withdraw(stuck)
		}
		w.finish()
	}},
}

var orderClauses = []clause{
	{Name: "order/age", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		want := ""
		for range 20 {
			s := w.step(nil)
			want += " " + s.Step
			w.ready(s)
			w.sleep(time.Millisecond)
		}
		w.finish()
		wantOrder(tb, w.names(), want[1:])
	}},
	{Name: "order/priority", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		for _, priority := range []int{0, -1, 5, 2, -1, 5, 1 << 40, -1 << 40, 2} {
			s := w.step(func(s *workflow.ReadyStep) { s.Priority = priority })
			w.ready(s)
		}
		w.finish()
		if h.Priorities {
			wantOrder(tb, w.names(), "s-1 s-7 s-3 s-6 s-4 s-9 s-2 s-5 s-8") // the first ran before others came
		} else {
			wantOrder(tb, w.names(), "s-1 s-2 s-3 s-4 s-5 s-6 s-7 s-8 s-9")
		}
	}},
	{Name: "order/no-starvation-by-priority", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		running := w.step(nil)
		low := w.step(nil)
		w.ready(running, low)
		starves(tb, h, w, running, low, func(s *workflow.ReadyStep) { s.Priority = 1 })
	}},
	{Name: "order/no-starvation-by-size", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Pools: map[string]int{"p": 2}})
		narrow := func(s *workflow.ReadyStep) { s.Pool = "p" }
		running := w.step(narrow)
		wide := w.step(func(s *workflow.ReadyStep) { s.Pool, s.Slots = "p", 2 })
		w.ready(running, wide)
		starves(tb, h, w, running, wide, narrow)
	}},
	{Name: "order/no-starvation-by-workflow", Check: func(tb testing.TB, h Harness) {
		w := newWorld(tb, h, Limits{Steps: 1})
		running := w.step(nil)
		other := w.step(func(s *workflow.ReadyStep) { s.Workflow.Name = "other" })
		w.ready(running, other)
		starves(tb, h, w, running, other, nil)
	}},
}

// starves keeps steps coming that may overtake the one that waits, and fails if it does not run in time.
func starves(tb testing.TB, h Harness, w *world, running, waits *workflow.ReadyStep, others func(*workflow.ReadyStep)) {
	tb.Helper()
	patience := h.Patience
	if patience == 0 {
		patience = time.Hour
	}
	const pace = time.Second
	for range patience / pace {
		w.ready(w.step(others)) // there is always one more that could run
		w.sleep(pace)
		w.done(running, workflow.StepRecord{Run: pace})
		w.ended(running.Execution)
		if w.running[waits] {
			w.finish()
			return
		}
		for _, s := range w.order {
			if w.running[s] {
				running = s
			}
		}
	}
	tb.Errorf("a step waits for %v while others that came later run: %s", patience, w.s.Explain(w.now, waits))
}
