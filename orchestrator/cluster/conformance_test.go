package cluster_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/internal/mortal"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/orchestratortest"
	"github.com/joinery/faas/orchestrator/spread"
)

// layer is a whole resource orchestration layer in this process.
type layer struct {
	drivers func(testing.TB) driver.Driver // opens one for a node
	kill    func(d driver.Driver, st driver.Status)
	wrapped bool // hand on the contract of the manager and nothing else
	mu      sync.Mutex
	nodes   map[string]*place
}

// place is a node of a layer.
type place struct {
	line   *cuttable
	driver driver.Driver
	stop   func()
}

// each calls f for every instance that runs.
func (l *layer) each(f func(driver.Driver, driver.Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		all, err := n.driver.List(context.Background())
		if err != nil {
			continue
		}
		for _, st := range all {
			if st.State == driver.StateRunning {
				f(n.driver, st)
			}
		}
	}
}

func (l *layer) open(tb testing.TB, s orchestratortest.ManagerSetup) orchestratortest.ManagerFixture {
	names := memnaming.New(nil)
	tb.Cleanup(func() { assert.NoError(tb, names.Close()) })
	m, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New(), Backoff: s.Backoff, Logger: testLog(tb)})
	require.NoError(tb, err)
	stop := runner(tb, m.Run)
	l.mu.Lock()
	l.nodes = map[string]*place{}
	l.mu.Unlock()
	for _, node := range s.Nodes {
		n := &place{line: newCuttable(names), driver: l.drivers(tb)}
		a, err := cluster.NewAgent(cluster.AgentConfig{Naming: n.line, Node: node, Drivers: []driver.Driver{n.driver},
			LeaseTTL: 300 * time.Millisecond, Logger: testLog(tb)})
		require.NoError(tb, err)
		n.stop = runner(tb, a.Run)
		l.mu.Lock()
		l.nodes[node.Name] = n
		l.mu.Unlock()
	}
	for {
		ready, err := m.Nodes(tb.Context())
		require.NoError(tb, err)
		if len(ready) == len(s.Nodes) {
			break
		}
		runtime.Gosched() // nothing tells when the manager has seen a node
	}
	manager := orchestrator.ResourceManager(m)
	if l.wrapped {
		manager = struct{ orchestrator.ResourceManager }{m}
	}
	return orchestratortest.ManagerFixture{
		Manager: manager,
		Stop:    stop,
		Kill: func(id string) {
			l.each(func(d driver.Driver, st driver.Status) {
				if st.ID == id {
					l.kill(d, st)
				}
			})
		},
		Running: func() (ids []string) {
			l.each(func(_ driver.Driver, st driver.Status) { ids = append(ids, st.ID) })
			return ids
		},
		LoseNode: func(name string) {
			l.mu.Lock()
			n := l.nodes[name]
			delete(l.nodes, name)
			l.mu.Unlock()
			n.line.cut()
			n.stop()
		},
	}
}

// callHandler calls a Go handler, on whichever node it is.
func (l *layer) callHandler(ctx context.Context, ep driver.Endpoint) error {
	err := error(faas.Errorf("test", "call", ep.Address, faas.ErrUnavailable, "no node has it"))
	l.each(func(d driver.Driver, _ driver.Status) {
		mem, _ := driver.Find[*memdriver.Driver](d)
		c, cerr := mem.Connect(ctx, faas.Function{}, ep)
		if cerr == nil {
			_, err = c.Invoke(ctx, &faas.Request{})
		}
	})
	return err
}

func behave(_ testing.TB, b orchestratortest.Behaviour) orchestrator.Workload {
	w := handler("")
	switch b {
	case orchestratortest.Fails:
		w.Command = []string{mortal.Fail}
	case orchestratortest.Hangs:
		w.Command = []string{mortal.Hang}
	case orchestratortest.Missing:
		w.Command = []string{"nobody"}
	}
	return w
}

func TestConformanceManager(t *testing.T) {
	runManager(t, &layer{drivers: func(tb testing.TB) driver.Driver { return mortal.New(memDriver(tb)) }})
}

func runManager(t *testing.T, l *layer) {
	l.kill = func(d driver.Driver, st driver.Status) {
		m, _ := driver.Find[*mortal.Driver](d)
		m.Kill(st.ID)
	}
	orchestratortest.RunManager(t, orchestratortest.ManagerHarness{Open: l.open, Workload: behave, Call: l.callHandler, Nodes: true, Backoff: true})
}

func TestConformanceAgent(t *testing.T) {
	orchestratortest.RunAgent(t, agentHarness(false, direct))
}

func TestConformanceAgentInVirtualTime(t *testing.T) {
	orchestratortest.RunAgent(t, agentHarness(true, direct))
}

// TestConformanceWrapped: wrappers that hand on the contracts and nothing else keep them.
func TestConformanceWrapped(t *testing.T) {
	t.Run("manager", func(t *testing.T) {
		runManager(t, &layer{
			drivers: func(tb testing.TB) driver.Driver { return wrapped{mortal.New(memDriver(tb))} },
			wrapped: true,
		})
	})
	t.Run("agent", func(t *testing.T) {
		orchestratortest.RunAgent(t, agentHarness(true, func(d driver.Driver) driver.Driver { return wrapped{d} }))
	})
}

type wrapped struct{ driver.Driver }

func (w wrapped) Unwrap() driver.Driver { return w.Driver }

func direct(d driver.Driver) driver.Driver { return d }

func agentHarness(bubble bool, wrap func(driver.Driver) driver.Driver) orchestratortest.AgentHarness {
	return orchestratortest.AgentHarness{InBubble: bubble, LeaseTTL: 300 * time.Millisecond,
		Naming: func(tb testing.TB) orchestrator.NamingService {
			names := memnaming.New(nil)
			tb.Cleanup(func() { assert.NoError(tb, names.Close()) })
			return names
		},
		New: func(tb testing.TB, s orchestratortest.AgentSetup) orchestratortest.AgentFixture {
			d := s.Driver
			if d == nil {
				d = wrap(mortal.New(memDriver(tb)))
			}
			instances, _ := driver.Find[*mortal.Driver](d)
			a, err := cluster.NewAgent(cluster.AgentConfig{Naming: s.Naming, Node: s.Node, Drivers: []driver.Driver{d},
				LeaseTTL: s.LeaseTTL, LeaveRunning: s.LeaveRunning, Logger: testLog(tb)})
			require.NoError(tb, err)
			return orchestratortest.AgentFixture{Agent: a, Driver: d, Kill: func(id string) { instances.Kill(id) }}
		},
		Workload: behave,
	}
}
