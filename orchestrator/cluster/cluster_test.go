package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// firstFit is the least scheduler.
type firstFit struct{}

func (firstFit) Place(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
	var p orchestrator.Placement
	for _, c := range w.Constraints {
		if c.Operator == "BROKEN" {
			return p, faas.Errorf("resource scheduler", "place", w.ID, faas.ErrInvalidArgument, "no such operator")
		}
	}
	for i := range nodes {
		v := orchestrator.Verdict{Node: nodes[i].Name}
		if nodes[i].Draining {
			v.Rejected = "draining"
		} else if ok, why := orchestrator.Fits(w.Requests, &nodes[i]); !ok {
			v.Rejected = why
		} else if p.Node == "" {
			p.Node = nodes[i].Name
		}
		p.Verdicts = append(p.Verdicts, v)
	}
	if p.Node == "" {
		return p, faas.Errorf("resource scheduler", "place", w.ID, faas.ErrExhausted, "%s", p.Reason())
	}
	return p, nil
}

var hello = faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
	return &faas.Response{Body: faas.String("hello")}, nil
})

func memDriver(tb testing.TB) *memdriver.Driver {
	d := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
	tb.Cleanup(func() { assert.NoError(tb, d.Close()) })
	return d
}

func handler(id string) orchestrator.Workload {
	return orchestrator.Workload{ID: id, Group: "g", Driver: "mem", Contract: faas.ContractHandler, Command: []string{"hello"}}
}

// testLog shows the log of a test with JOINERY_TEST_LOG=1.
func testLog(tb testing.TB) *slog.Logger {
	if os.Getenv("JOINERY_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// runner runs something until stop, and fails the test when it returns an error.
func runner(tb testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			assert.NoError(tb, <-done)
		}
	}
	tb.Cleanup(stop)
	return stop
}

func startManager(tb testing.TB, names orchestrator.NamingService) (*cluster.Manager, func()) {
	m, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: firstFit{}, Logger: testLog(tb)})
	require.NoError(tb, err)
	return m, runner(tb, m.Run)
}

func startAgent(tb testing.TB, names orchestrator.NamingService, n orchestrator.Node, drivers ...driver.Driver) (*cluster.Agent, func()) {
	a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: n, Drivers: drivers, Logger: testLog(tb)})
	require.NoError(tb, err)
	return a, runner(tb, a.Run)
}

// await watches until the workload is as wanted.
func await(tb testing.TB, m orchestrator.ResourceManager, id string, ok func(orchestrator.Status) bool) orchestrator.Status {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var last orchestrator.Status
	for s, err := range m.Watch(ctx) {
		if err != nil {
			require.NoError(tb, err, "waiting for %s; last %+v", id, last)
		}
		if s.ID == id {
			if last = s; ok(s) {
				return s
			}
		}
	}
	return last
}

func phase(p orchestrator.Phase) func(orchestrator.Status) bool {
	return func(s orchestrator.Status) bool { return s.Phase == p }
}

func TestFromApplyToGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		d := memDriver(t)
		m, _ := startManager(t, names)
		startAgent(t, names, orchestrator.Node{Name: "n1"}, d)
		require.NoError(t, m.Apply(t.Context(), handler("i1")))
		s := await(t, m, "i1", phase(orchestrator.PhaseRunning))
		assert.Equal(t, "n1", s.Node)
		assert.NotZero(t, s.Ready)
		inst, err := d.Connect(t.Context(), faas.Function{}, s.Endpoint)
		require.NoError(t, err)
		_, err = inst.Invoke(t.Context(), &faas.Request{})
		require.NoError(t, err)
		watching := make(chan orchestrator.Status)
		go func() {
			defer close(watching)
			for s, err := range m.Watch(t.Context()) {
				if err != nil || s.Phase == orchestrator.PhaseGone {
					watching <- s
					return
				}
			}
		}()
		synctest.Wait()
		require.NoError(t, m.Remove(t.Context(), "i1"))
		s, err = m.Get(t.Context(), "i1")
		require.NoError(t, err)
		assert.Equal(t, orchestrator.PhaseStopping, s.Phase)
		assert.Equal(t, "i1", (<-watching).ID)
		left, err := d.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, left)
		_, err = m.Get(t.Context(), "i1")
		assert.True(t, errors.Is(err, faas.ErrNotFound))
	})
}
