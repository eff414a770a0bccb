package orchestratortest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/internal/mortal"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
)

// managerDouble is a correct manager but for what a test overrides.
type managerDouble struct {
	orchestrator.ResourceManager
	f *ManagerFixture

	setup  func(*ManagerSetup)
	apply  func(context.Context, orchestrator.Workload) error
	remove func(context.Context, string) error
	get    func(context.Context, string) (orchestrator.Status, error)
	list   func(context.Context) ([]orchestrator.Status, error)
	nodes  func(context.Context) ([]orchestrator.NodeState, error)
	drain  func(context.Context, string, bool) error
	watch  func(context.Context) iter.Seq2[orchestrator.Status, error]
}

func (d *managerDouble) Apply(ctx context.Context, w orchestrator.Workload) error {
	return d.apply(ctx, w)
}
func (d *managerDouble) Remove(ctx context.Context, id string) error { return d.remove(ctx, id) }
func (d *managerDouble) Get(ctx context.Context, id string) (orchestrator.Status, error) {
	return d.get(ctx, id)
}
func (d *managerDouble) List(ctx context.Context) ([]orchestrator.Status, error) { return d.list(ctx) }
func (d *managerDouble) Nodes(ctx context.Context) ([]orchestrator.NodeState, error) {
	return d.nodes(ctx)
}
func (d *managerDouble) Drain(ctx context.Context, node string, draining bool) error {
	return d.drain(ctx, node, draining)
}
func (d *managerDouble) Watch(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
	return d.watch(ctx)
}

// shows changes what Watch yields; false leaves a status out.
func (d *managerDouble) shows(change func(*orchestrator.Status) bool) {
	d.watch = func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
		return func(yield func(orchestrator.Status, error) bool) {
			for s, err := range d.ResourceManager.Watch(ctx) {
				if err == nil && !change(&s) {
					continue
				}
				if !yield(s, err) {
					return
				}
			}
		}
	}
}

// background runs f until stop; it fails the test when f returns an error.
func background(tb testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ok(tb, <-done, "run")
	})
	tb.Cleanup(stop)
	return stop
}

// openCluster opens the real manager with real agents, in memory.
func openCluster(tb testing.TB, s ManagerSetup, breakIt func(*managerDouble)) ManagerFixture {
	d := &managerDouble{f: &ManagerFixture{}}
	d.setup = func(*ManagerSetup) {}
	breakIt(d)
	d.setup(&s)
	names := memnaming.New(nil)
	tb.Cleanup(func() { names.Close() })
	m, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New(), Backoff: s.Backoff})
	ok(tb, err, "new manager")
	d.f.Stop = background(tb, m.Run)
	drivers := map[string]*mortal.Driver{}
	lose := map[string]func(){}
	for _, node := range s.Nodes {
		mem := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": faas.InvokerFunc(hello)}})
		drivers[node.Name] = mortal.New(mem)
		a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: node, Drivers: []driver.Driver{drivers[node.Name]}})
		ok(tb, err, "new agent")
		tb.Cleanup(func() { mem.Close() })
		lose[node.Name] = background(tb, a.Run)
	}
	synctest.Wait()
	d.ResourceManager = m
	d.apply, d.remove, d.get, d.list, d.nodes, d.drain, d.watch = m.Apply, m.Remove, m.Get, m.List, m.Nodes, m.Drain, m.Watch
	d.f.Manager = d
	d.f.LoseNode = func(name string) { lose[name]() }
	d.f.Kill = func(id string) {
		for _, d := range drivers {
			d.Kill(id)
		}
	}
	d.f.Running = func() (ids []string) {
		for _, d := range drivers {
			ids = slices.AppendSeq(ids, maps.Keys(d.Running()))
		}
		return ids
	}
	breakIt(d)
	return *d.f
}

func hello(context.Context, *faas.Request) (*faas.Response, error) { return &faas.Response{}, nil }

// clusterHarness is the harness of the correct manager, broken by breakIt.
func clusterHarness(breakIt func(*managerDouble)) ManagerHarness {
	var open ManagerFixture
	return ManagerHarness{Nodes: true, Backoff: true, InBubble: true,
		Open: func(tb testing.TB, s ManagerSetup) ManagerFixture {
			open = openCluster(tb, s, breakIt)
			return open
		},
		Workload: func(_ testing.TB, b Behaviour) orchestrator.Workload {
			command := map[Behaviour]string{Serves: "hello", Fails: mortal.Fail, Hangs: mortal.Hang, Missing: "nobody"}[b]
			return orchestrator.Workload{Driver: "mem", Contract: faas.ContractHandler, Command: []string{command}}
		},
		Call: func(_ context.Context, ep driver.Endpoint) error {
			if !slices.Contains(open.Running(), ep.Address) {
				return faas.Errorf("test", "call", ep.Address, faas.ErrUnavailable, "it does not run")
			}
			return nil
		},
	}
}

func TestManagerKitPassesCluster(t *testing.T) {
	RunManager(t, clusterHarness(func(*managerDouble) {}))
}

func TestManagerKitFailsDoubles(t *testing.T) {
	for _, c := range managerClauses() {
		breaks := brokenManagers[c.name]
		if len(breaks) == 0 {
			t.Errorf("no double breaks %q", c.name)
		}
		for i, b := range breaks {
			synctest.Test(t, func(t *testing.T) {
				r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, clusterHarness(b)) })
				if !r.Failed() {
					t.Errorf("%q passes its broken double %d", c.name, i)
				}
			})
		}
	}
	for name := range brokenManagers {
		if !slices.ContainsFunc(managerClauses(), func(c clause[ManagerHarness]) bool { return c.name == name }) {
			t.Errorf("a double breaks %q, which is no clause", name)
		}
	}
}

// as replaces the class of err.
func as(err, from, to error) error {
	if !errors.Is(err, from) {
		return err
	}
	if to == nil {
		return nil
	}
	return faas.Errorf("test", "break", "", to, "broken")
}

func unclassed(s *orchestrator.Status) bool {
	if s.Error != nil {
		s.Error = orchestrator.FailureOf(faas.Errorf("test", "break", "", faas.ErrInternal, "broken"))
	}
	return true
}

type breaks []func(*managerDouble)

func neverRemoves(d *managerDouble) { d.remove = func(context.Context, string) error { return nil } }
func neverDrains(d *managerDouble) {
	d.drain = func(context.Context, string, bool) error { return nil }
}
func losesErrors(d *managerDouble) { d.shows(unclassed) }
func forgivesExisting(d *managerDouble) {
	d.apply = func(ctx context.Context, w orchestrator.Workload) error {
		return as(d.ResourceManager.Apply(ctx, w), faas.ErrAlreadyExists, nil)
	}
}

// changes what is applied.
func applies(change func(*orchestrator.Workload)) func(*managerDouble) {
	return func(d *managerDouble) {
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			change(&w)
			return d.ResourceManager.Apply(ctx, w)
		}
	}
}

// shown changes what is yielded.
func shown(p orchestrator.Phase, change func(*orchestrator.Status)) func(*managerDouble) {
	return func(d *managerDouble) {
		d.shows(func(s *orchestrator.Status) bool {
			if s.Phase == p {
				change(s)
			}
			return true
		})
	}
}

// later drops statuses in every Watch but the first.
func later(drop orchestrator.Phase) func(*managerDouble) {
	return func(d *managerDouble) {
		if d.ResourceManager == nil {
			return
		}
		var begun atomic.Bool
		whole := d.watch
		d.shows(func(s *orchestrator.Status) bool { return s.Phase != drop })
		partial := d.watch
		d.watch = func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
			if begun.CompareAndSwap(false, true) {
				return whole(ctx)
			}
			return partial(ctx)
		}
	}
}

const hour = time.Hour
