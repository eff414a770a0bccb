package cluster_test

import (
	"context"
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

// layer is a whole resource orchestration layer in memory.
type layer struct {
	mu    sync.Mutex
	nodes map[string]*machine
}

func (l *layer) each(f func(*mortal.Driver)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.nodes {
		f(n.driver)
	}
}

func (l *layer) open(tb testing.TB, s orchestratortest.ManagerSetup) orchestratortest.ManagerFixture {
	names := memnaming.New(nil)
	tb.Cleanup(func() { assert.NoError(tb, names.Close()) })
	m, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New(), Backoff: s.Backoff, Logger: testLog(tb)})
	require.NoError(tb, err)
	stop := runner(tb, m.Run)
	l.mu.Lock()
	l.nodes = map[string]*machine{}
	l.mu.Unlock()
	for _, node := range s.Nodes {
		n := &machine{line: newCuttable(names)}
		d := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
		n.driver = mortal.New(d)
		a, err := cluster.NewAgent(cluster.AgentConfig{Naming: n.line, Node: node, Drivers: []driver.Driver{n.driver},
			LeaseTTL: 300 * time.Millisecond, Logger: testLog(tb)})
		require.NoError(tb, err)
		tb.Cleanup(func() { assert.NoError(tb, d.Close()) })
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
		time.Sleep(time.Millisecond) // nothing tells when a node appears
	}
	return orchestratortest.ManagerFixture{
		Manager: m,
		Stop:    stop,
		Kill: func(id string) {
			l.each(func(d *mortal.Driver) { d.Kill(id) })
		},
		Running: func() (ids []string) {
			l.each(func(d *mortal.Driver) {
				for id := range d.Running() {
					ids = append(ids, id)
				}
			})
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

func (l *layer) call(ctx context.Context, ep driver.Endpoint) error {
	err := error(faas.Errorf("test", "call", ep.Address, faas.ErrUnavailable, "no node has it"))
	l.each(func(d *mortal.Driver) {
		mem, _ := driver.Find[*memdriver.Driver](d)
		c, cerr := mem.Connect(ctx, faas.Function{}, ep)
		if cerr != nil {
			return
		}
		_, err = c.Invoke(ctx, &faas.Request{})
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

func TestManagerConformance(t *testing.T) {
	l := &layer{}
	orchestratortest.RunManager(t, orchestratortest.ManagerHarness{Open: l.open, Workload: behave, Call: l.call, Nodes: true, Backoff: true})
}

func TestAgentConformance(t *testing.T) {
	orchestratortest.RunAgent(t, agentHarness(false))
}

func TestAgentConformanceInVirtualTime(t *testing.T) {
	orchestratortest.RunAgent(t, agentHarness(true))
}

func agentHarness(bubble bool) orchestratortest.AgentHarness {
	return orchestratortest.AgentHarness{InBubble: bubble, LeaseTTL: 300 * time.Millisecond,
		Naming: func(tb testing.TB) orchestrator.NamingService {
			names := memnaming.New(nil)
			tb.Cleanup(func() { assert.NoError(tb, names.Close()) })
			return names
		},
		New: func(tb testing.TB, s orchestratortest.AgentSetup) orchestratortest.AgentFixture {
			d, _ := s.Driver.(*mortal.Driver)
			if d == nil {
				d = mortal.New(memDriver(tb))
			}
			a, err := cluster.NewAgent(cluster.AgentConfig{Naming: s.Naming, Node: s.Node, Drivers: []driver.Driver{d},
				LeaseTTL: s.LeaseTTL, LeaveRunning: s.LeaveRunning, Logger: testLog(tb)})
			require.NoError(tb, err)
			return orchestratortest.AgentFixture{Agent: a, Driver: d, Kill: func(id string) { d.Kill(id) }}
		},
		Workload: behave,
	}
}
