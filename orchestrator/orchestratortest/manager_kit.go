package orchestratortest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// ManagerHarness is how the kit reaches a resource manager (R2): one over our records, or
// one that delegates the whole layer.
//
//	orchestratortest.RunManager(t, orchestratortest.ManagerHarness{
//		Open:     func(tb testing.TB, s orchestratortest.ManagerSetup) orchestratortest.ManagerFixture { ... },
//		Workload: func(tb testing.TB, b orchestratortest.Behaviour) orchestrator.Workload { ... },
//		Call:     func(ctx context.Context, ep driver.Endpoint) error { ... },
//	})
type ManagerHarness struct {
	// Open returns a manager that runs, on nodes that are ready, and knows no workload. It
	// frees everything by tb.Cleanup. Required.
	Open func(tb testing.TB, s ManagerSetup) ManagerFixture
	// Workload returns a workload that behaves so; the kit sets ID, Group, Requests, Restart
	// and Grace. It calls tb.Skip with a reason when there is no such thing. Required.
	Workload func(tb testing.TB, b Behaviour) orchestrator.Workload
	// Call calls the instance at the endpoint once and is nil when it answered. Required.
	Call func(ctx context.Context, ep driver.Endpoint) error
	// Nodes: the layer consists of the nodes of ManagerSetup, with their capacity, and
	// Drain works. False: it has nodes of its own, and the clauses about nodes are skipped.
	Nodes bool
	// Backoff: restarts are delayed by ManagerSetup.Backoff.
	Backoff bool
	// InBubble runs each clause in a bubble of testing/synctest, where waiting costs no
	// time: for layers that live in memory.
	InBubble bool
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// ManagerSetup is what a clause needs.
type ManagerSetup struct {
	Nodes   []orchestrator.Node
	Backoff orchestrator.Backoff
}

// ManagerFixture is one layer under test.
type ManagerFixture struct {
	Manager orchestrator.ResourceManager
	// Stop ends the manager, and returns when it has ended. Required.
	Stop func()
	// Kill ends the instance of a workload by itself, as kill -9 would. Nil: not possible.
	Kill func(id string)
	// Running returns the IDs of the instances that really run. Nil: not known.
	Running func() []string
	// LoseNode makes a node vanish without a word, as a power failure would. Nil: not possible.
	LoseNode func(name string)
}

// Behaviour is what an instance does.
type Behaviour string

// The behaviours.
const (
	// Serves: it is ready soon and answers Call.
	Serves Behaviour = "serves"
	// Fails: it ends before it is ready.
	Fails Behaviour = "fails"
	// Missing: its program does not exist.
	Missing Behaviour = "missing"
	// Hangs: it never becomes ready.
	Hangs Behaviour = "hangs"
)

type managerClause struct {
	name  string
	setup ManagerSetup
	check func(*managerRun)
}

func managerClauses() []clause[ManagerHarness] {
	var all []clause[ManagerHarness]
	for _, c := range slices.Concat(managerApplyClauses(), managerRemoveClauses(), managerWatchClauses(),
		managerEndClauses(), managerCancelClauses(), managerCapacityClauses(), managerNodeClauses()) {
		all = append(all, clause[ManagerHarness]{c.name, c.run})
	}
	return all
}

// RunManager checks every clause of the contract of a resource manager, each on a layer of its own.
func RunManager(t *testing.T, h ManagerHarness) {
	if h.Open == nil || h.Workload == nil || h.Call == nil {
		t.Fatal("orchestratortest: ManagerHarness.Open, Workload and Call are required")
	}
	runClauses(t, h, h.InBubble, h.Skip, managerClauses())
}

// BenchManager measures the way from Apply until Watch yields the workload as running.
func BenchManager(b *testing.B, h ManagerHarness) {
	f := h.Open(b, ManagerSetup{Nodes: []orchestrator.Node{{Name: "n1"}}})
	r := &managerRun{TB: b, h: h, f: f, m: f.Manager, ctx: b.Context()}
	phases := make(chan orchestrator.Status)
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	go func() {
		defer close(phases)
		for s, err := range r.m.Watch(ctx) {
			if err != nil {
				return
			}
			select {
			case phases <- s:
			case <-ctx.Done():
			}
		}
	}()
	until := func(id string, p orchestrator.Phase) {
		for s := range phases {
			if s.ID == id && s.Phase == p {
				return
			}
		}
		b.Fatalf("Watch ended before %s was %s", id, p)
	}
	w := r.workload("", Serves)
	n := 0
	for b.Loop() {
		n++
		w.ID = "w" + strconv.Itoa(n)
		r.apply(w)
		until(w.ID, orchestrator.PhaseRunning)
		b.StopTimer()
		r.remove(w.ID)
		until(w.ID, orchestrator.PhaseGone)
		b.StartTimer()
	}
}

func (c managerClause) run(tb testing.TB, h ManagerHarness) {
	setup := c.setup
	if setup.Nodes == nil {
		setup.Nodes = []orchestrator.Node{{Name: "n1"}}
	}
	f := h.Open(tb, setup)
	r := &managerRun{TB: tb, h: h, f: f, m: f.Manager, ctx: tb.Context()}
	r.log = r.watch()
	c.check(r)
}

// managerRun is one clause on its way.
type managerRun struct {
	testing.TB
	h   ManagerHarness
	f   ManagerFixture
	m   orchestrator.ResourceManager
	ctx context.Context
	log *statusLog // of a watch that began before anything was applied
}

// statusLog keeps all that a Watch yields.
type statusLog struct {
	mu      sync.Mutex
	all     []orchestrator.Status
	err     error
	changed chan struct{}
}

func (r *managerRun) watch() *statusLog {
	l := &statusLog{changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	r.Cleanup(cancel)
	go func() {
		for s, err := range r.m.Watch(ctx) {
			l.mu.Lock()
			if l.err = err; err == nil {
				l.all = append(l.all, s)
			}
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return l
}

// state returns what was seen and a channel that is closed when there is more.
func (l *statusLog) state() ([]orchestrator.Status, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all, l.changed, l.err
}

// of returns what was seen of one workload.
func (l *statusLog) of(id string) []orchestrator.Status {
	all, _, _ := l.state()
	var some []orchestrator.Status
	for _, s := range all {
		if s.ID == id {
			some = append(some, s)
		}
	}
	return some
}

// seen waits until the watch has yielded such a status and returns the first.
func (r *managerRun) seen(l *statusLog, what string, ok func(orchestrator.Status) bool) orchestrator.Status {
	r.Helper()
	late := time.After(patience)
	for next := 0; ; {
		all, changed, err := l.state()
		for ; next < len(all); next++ {
			if ok(all[next]) {
				return all[next]
			}
		}
		if err != nil {
			r.Fatalf("Watch ended with %v before it yielded %s", err, what)
		}
		select {
		case <-changed:
		case <-late:
			r.Fatalf("Watch did not yield %s within %v; it yielded %s", what, patience, brief(all))
		}
	}
}

// phase waits until the watch has yielded the workload in the phase.
func (r *managerRun) phase(id string, p orchestrator.Phase) orchestrator.Status {
	r.Helper()
	return r.seen(r.log, id+" "+string(p), func(s orchestrator.Status) bool { return s.ID == id && s.Phase == p })
}

func brief(all []orchestrator.Status) string {
	out := "nothing"
	for i, s := range all {
		if i == 0 {
			out = ""
		}
		if len(all)-i <= 20 {
			out += s.ID + " " + string(s.Phase) + " (" + s.Reason + "); "
		}
	}
	return out
}

// workload returns a workload of that behaviour and ID.
func (r *managerRun) workload(id string, b Behaviour) orchestrator.Workload {
	r.Helper()
	w := r.h.Workload(r, b)
	w.ID, w.Group = id, "group"
	return w
}

// apply applies and must succeed.
func (r *managerRun) apply(w orchestrator.Workload) {
	r.Helper()
	if err := r.m.Apply(r.ctx, w); err != nil {
		r.Fatalf("Apply(%s): %v", w.ID, err)
	}
}

func (r *managerRun) remove(id string) {
	r.Helper()
	if err := r.m.Remove(r.ctx, id); err != nil {
		r.Fatalf("Remove(%s): %v", id, err)
	}
}

// runs applies a workload that serves and waits until it does.
func (r *managerRun) runs(id string) orchestrator.Status {
	r.Helper()
	r.apply(r.workload(id, Serves))
	return r.phase(id, orchestrator.PhaseRunning)
}

// quiet gives what must not happen the time to happen: nothing tells of its absence.
func (r *managerRun) quiet() {
	r.Helper()
	r.runs("another")
	<-time.After(10 * time.Millisecond)
}

// is fails unless err belongs to the class.
func (r *managerRun) is(what string, err, class error) {
	r.Helper()
	if !errors.Is(err, class) {
		r.Errorf("%s: got %v, want %v", what, err, class)
	}
}

// answers reports whether an instance serves at the endpoint.
func (r *managerRun) answers(ep driver.Endpoint) error {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	return r.h.Call(ctx, ep)
}

// running fails unless exactly these instances really run.
func (r *managerRun) running(want ...string) {
	r.Helper()
	if r.f.Running == nil {
		return
	}
	got := map[string]int{}
	for _, id := range r.f.Running() {
		got[id]++
	}
	for _, id := range want {
		if got[id] != 1 {
			r.Errorf("%d instances of %s run, want 1", got[id], id)
		}
		delete(got, id)
	}
	for id, n := range got {
		r.Errorf("%d instances of %s run, want none", n, id)
	}
}

// gone fails unless the workload is unknown.
func (r *managerRun) gone(id string) {
	r.Helper()
	_, err := r.m.Get(r.ctx, id)
	r.is("Get of what is gone", err, faas.ErrNotFound)
}
