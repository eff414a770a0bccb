package workloaddeployer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a cluster of one node within this process and a deployer on it.
type bed struct {
	manager  *cluster.Manager
	deployer *workloaddeployer.Deployer
}

func echo(_ context.Context, req *faas.Request) (*faas.Response, error) {
	return &faas.Response{Body: req.Body}, nil
}

// newBed starts the real resource layer; it ends with the test, after the deployer's shutdown.
func newBed(tb testing.TB, capacity faas.Resources, wrap func(driver.Driver) driver.Driver) *bed {
	names := memnaming.New(nil)
	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	require.NoError(tb, err)
	mem := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"echo": faas.InvokerFunc(echo)}})
	var d driver.Driver = mem
	if wrap != nil {
		d = wrap(d)
	}
	agent, err := cluster.NewAgent(cluster.AgentConfig{
		Naming: names, Node: orchestrator.Node{Name: "n1", Capacity: capacity, Labels: map[string]string{"zone": "a"}},
		Drivers: []driver.Driver{d}, CodeDir: tb.TempDir(),
	})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { _ = manager.Run(ctx) })
	loops.Go(func() { _ = agent.Run(ctx) })
	deploy, err := workloaddeployer.New(workloaddeployer.Config{
		Resources: manager, Connectors: map[string]deployer.Connector{"handler": mem},
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		end, done := context.WithTimeout(context.Background(), 20*time.Second)
		defer done()
		if err := deploy.Shutdown(end); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		cancel()
		loops.Wait()
		_ = mem.Close()
		_ = names.Close()
	})
	return &bed{manager: manager, deployer: deploy}
}

func function(handler string) faas.Function {
	return faas.Function{
		Ref:  faas.Ref{Namespace: "default", Name: "hello", Version: "1"},
		Spec: faas.Spec{Contract: faas.ContractHandler, Command: []string{handler}},
	}
}

func TestDeployInvokeStop(t *testing.T) {
	b := newBed(t, faas.Resources{}, nil)
	timing := &faas.Timing{}
	begun := time.Now()
	inst, err := b.deployer.Deploy(faas.WithTiming(t.Context(), timing), function("echo"), nil)
	took := time.Since(begun)
	require.NoError(t, err)
	require.Regexp(t, `^hello-[0-9a-v]{26}$`, inst.ID())
	require.True(t, timing.Cold())
	require.LessOrEqual(t, timing.Total(), took)
	t.Log(string(timing.AppendServerTiming(nil)))
	for _, p := range []faas.Phase{faas.PhaseDecide, faas.PhasePlace, faas.PhaseStart, faas.PhaseInit} {
		require.Positive(t, timing.Get(p), p)
	}

	resp, err := inst.Invoke(t.Context(), &faas.Request{Body: faas.String("hi")})
	require.NoError(t, err)
	text, err := resp.Body.Text()
	require.NoError(t, err)
	require.Equal(t, "hi", text)

	require.NoError(t, inst.Stop(t.Context()))
	<-inst.Done()
	require.NoError(t, inst.Err())
	require.NoError(t, inst.Stop(t.Context()))
	left, err := b.manager.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
}
