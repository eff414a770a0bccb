package schedulertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// world stands for the engine: it drives a scheduler in virtual time and checks every
// decision against what the contract allows.
type world struct {
	tb     testing.TB
	s      workflow.Scheduler
	limits Limits

	now     time.Time
	wake    time.Time
	waiting map[*workflow.ReadyStep]bool
	running map[*workflow.ReadyStep]bool
	gone    map[*workflow.ReadyStep]string // why it must not be returned again
	used    map[string]int
	order   []*workflow.ReadyStep // as they were run
	prewarm []workflow.Prewarm
	log     strings.Builder // every decision, in words
	steps   int
}

// begin is not a round number, so that what is rounded is noticed.
var begin = time.Date(2026, 3, 29, 0, 59, 59, 123456789, time.UTC)

func newWorld(tb testing.TB, h Harness, l Limits) *world {
	return &world{tb: tb, s: h.New(tb, l), limits: l, now: begin, waiting: map[*workflow.ReadyStep]bool{},
		running: map[*workflow.ReadyStep]bool{}, gone: map[*workflow.ReadyStep]string{}, used: map[string]int{}}
}

// step returns a new step, as the first of an execution of its own of the workflow "work".
func (w *world) step(change func(*workflow.ReadyStep)) *workflow.ReadyStep {
	w.steps++
	s := &workflow.ReadyStep{
		Execution: workflow.ExecutionRef{Namespace: "default", ID: fmt.Sprintf("x-%d", w.steps), Run: 1},
		Workflow:  faas.Ref{Namespace: "default", Name: "work", Version: "1"},
		Step:      fmt.Sprintf("s-%d", w.steps), Node: "node", Function: faas.Ref{Namespace: "default", Name: "f"},
		Attempt: 1, Slots: 1, Since: w.now, Position: -w.steps, Owner: w,
	}
	if change != nil {
		change(s)
	}
	return s
}

// ready makes steps ready; each is followed by a decision.
func (w *world) ready(steps ...*workflow.ReadyStep) {
	w.tb.Helper()
	for _, s := range steps {
		w.waiting[s] = true
		w.s.Ready(w.now, s)
		w.next()
	}
}

// withdraw takes back a step that waits.
func (w *world) withdraw(s *workflow.ReadyStep) {
	w.tb.Helper()
	delete(w.waiting, s)
	w.gone[s] = "was withdrawn"
	w.s.Withdraw(w.now, s)
	w.next()
}

// done ends a step that runs.
func (w *world) done(s *workflow.ReadyStep, r workflow.StepRecord) {
	w.tb.Helper()
	if !w.running[s] {
		w.tb.Fatalf("step %s does not run, and should by now", s.Step)
	}
	delete(w.running, s)
	w.used[s.Pool] -= s.Slots
	r.Workflow, r.Node, r.Function, r.Attempt, r.Ended = s.Workflow, s.Node, s.Function, s.Attempt, w.now
	w.s.Done(w.now, s, r)
	w.next()
}

// next asks for a decision and checks it.
func (w *world) next() {
	w.tb.Helper()
	stale := w.now.Add(time.Nanosecond)
	d := workflow.Decision{Wake: stale}
	w.s.Next(w.now, &d)
	if !d.Wake.IsZero() && !d.Wake.After(w.now) || d.Wake.Equal(stale) {
		w.tb.Errorf("at %v the scheduler asks to be woken at %v, which is not later, or what was in the decision before", w.now, d.Wake)
	}
	w.wake = d.Wake
	for _, s := range d.Run {
		w.run(s)
	}
	w.prewarm = append(w.prewarm, d.Prewarm...)
	fmt.Fprintf(&w.log, "%v wake %v prewarm %v run", w.now.Sub(begin), d.Wake, d.Prewarm)
	for _, s := range d.Run {
		fmt.Fprintf(&w.log, " %s/%d", s.Step, s.Attempt)
	}
	w.log.WriteByte('\n')
}

func (w *world) run(s *workflow.ReadyStep) {
	w.tb.Helper()
	if !w.waiting[s] {
		why := w.gone[s]
		if why == "" {
			why = "was never made ready"
		}
		w.tb.Fatalf("step %v is to run and %s", s, why)
	}
	delete(w.waiting, s)
	w.gone[s] = "was run before"
	w.running[s] = true
	w.order = append(w.order, s)
	if n := len(w.running); w.limits.Steps > 0 && n > w.limits.Steps {
		w.tb.Errorf("%d steps run, and the limit is %d", n, w.limits.Steps)
	}
	w.used[s.Pool] += s.Slots
	if s.Pool == "" {
		return
	}
	if size := w.limits.Pools[s.Pool]; w.used[s.Pool] > size {
		w.tb.Errorf("pool %s: %d slots in use, of %d", s.Pool, w.used[s.Pool], size)
	}
}

// sleep lets time pass, with the decisions that the scheduler asked for in between.
func (w *world) sleep(d time.Duration) {
	w.tb.Helper()
	until := w.now.Add(d)
	for n := 0; !w.wake.IsZero() && !w.wake.After(until); n++ {
		if n == 100_000 {
			w.tb.Fatalf("the scheduler was woken %d times in %v", n, d)
		}
		w.now = w.wake
		w.next()
	}
	w.now = until
}

// settle lets time pass until the scheduler does not ask to be woken any more.
func (w *world) settle() {
	w.tb.Helper()
	for n := 0; !w.wake.IsZero(); n++ {
		if n == 100_000 {
			w.tb.Fatalf("the scheduler asks to be woken without end")
		}
		w.sleep(w.wake.Sub(w.now))
	}
}

// ended tells a Learner that an execution has ended.
func (w *world) ended(x workflow.ExecutionRef) {
	if l, ok := w.s.(workflow.Learner); ok {
		l.Ended(w.now, x)
		w.next()
	}
}

// finish ends what runs, one after the other, until nothing waits.
func (w *world) finish() {
	w.tb.Helper()
	for len(w.waiting)+len(w.running) > 0 {
		w.settle()
		if len(w.running) == 0 {
			w.tb.Fatalf("%d steps are lost: they wait, nothing runs, and the scheduler does not ask to be woken", len(w.waiting))
		}
		w.sleep(time.Millisecond)
		for _, s := range w.order {
			if w.running[s] {
				w.done(s, workflow.StepRecord{Run: time.Millisecond})
				w.ended(s.Execution)
				break
			}
		}
	}
}

// names are the steps in the order they were run.
func (w *world) names() string {
	var names []string
	for _, s := range w.order {
		names = append(names, s.Step)
	}
	return strings.Join(names, " ")
}

func wantOrder(tb testing.TB, got, want string) {
	tb.Helper()
	if got != want {
		tb.Errorf("run in the order\n     %s\nwant %s", got, want)
	}
}
