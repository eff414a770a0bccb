package workloaddeployer_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/deployertest"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/deployer/workloaddeployer"
	jrequire "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a cluster of one node within this process, with handlers and, where the
// machine has them, processes; and a deployer on it.
type bed struct {
	manager  *cluster.Manager
	mem      *memdriver.Driver
	deployer *workloaddeployer.Deployer
	proc     bool
	stop     func() // ends manager and agent
}

func echo(_ context.Context, req *faas.Request) (*faas.Response, error) {
	return &faas.Response{Body: req.Body}, nil
}

// newBed starts the real resource layer; it ends with the test, after the deployer's shutdown.
func newBed(tb testing.TB, defaults workloaddeployer.Defaults) *bed {
	tb.Helper()
	dir, err := os.MkdirTemp("", "wd") // a short path, for sockets are in it
	require.NoError(tb, err)
	names := memnaming.New(nil)
	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	require.NoError(tb, err)
	mem := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"echo": faas.InvokerFunc(echo)}})
	drivers := []driver.Driver{mem}
	proc, err := procdriver.New(&procdriver.Options{Dir: dir})
	if err == nil {
		drivers = append(drivers, proc)
	} else {
		require.ErrorIs(tb, err, faas.ErrUnimplemented)
	}
	agent, err := cluster.NewAgent(cluster.AgentConfig{
		Naming: names, Node: orchestrator.Node{Name: "n1", Capacity: faas.Resources{MilliCPU: 100_000}},
		Drivers: drivers, CodeDir: filepath.Join(dir, "code"),
	})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { _ = manager.Run(ctx) })
	loops.Go(func() { _ = agent.Run(ctx) })
	stop := func() { cancel(); loops.Wait() }
	overHTTP := httpinstance.New(nil)
	deploy, err := workloaddeployer.New(workloaddeployer.Config{
		Resources: manager, Defaults: defaults,
		Connectors: map[string]deployer.Connector{"handler": mem, "unix": overHTTP, "tcp": overHTTP},
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		end, done := context.WithTimeout(context.Background(), 20*time.Second)
		defer done()
		assert.NoError(tb, deploy.Shutdown(end))
		stop()
		for _, d := range drivers {
			assert.NoError(tb, d.Close())
		}
		assert.NoError(tb, names.Close())
		assert.NoError(tb, os.RemoveAll(dir))
	})
	return &bed{manager: manager, mem: mem, deployer: deploy, proc: proc != nil, stop: stop}
}

func (b *bed) instances(tb testing.TB) int {
	all, err := b.manager.List(context.Background())
	require.NoError(tb, err)
	return len(all)
}

func function(handler string) faas.Function {
	return faas.Function{
		Ref:  faas.Ref{Namespace: "default", Name: "hello", Version: "1"},
		Spec: faas.Spec{Contract: faas.ContractHandler, Command: []string{handler}},
	}
}

// program is a function that runs the test function.
func program(tb testing.TB, args ...string) faas.Function {
	return faas.Function{
		Ref: faas.Ref{Namespace: "default", Name: "program", Version: "1"},
		Spec: faas.Spec{Contract: faas.ContractInherit, Command: append([]string{testbin.Build(tb)}, args...),
			StartTimeout: 2 * time.Minute, Grace: time.Second},
	}
}

func conformanceBed(tb testing.TB) deployertest.Bed {
	b := newBed(tb, workloaddeployer.Defaults{})
	full := function("echo")
	full.Spec.Requests.MilliCPU = 100_001
	full.Spec.StartTimeout = 2 * time.Minute
	kit := deployertest.Bed{Deployer: b.deployer, Instances: b.instances, Echo: function("echo"), Full: full, Shutdown: b.deployer.Shutdown}
	if b.proc {
		kit.Exit, kit.Broken, kit.Hang = program(tb), program(tb, "exit-early", "3"), program(tb, "never-ready")
	}
	return kit
}

func TestConformance(t *testing.T) { deployertest.Run(t, deployertest.Harness{New: conformanceBed}) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
// Of deployer.Decider such a wrapper knows nothing.
func TestConformanceWrapped(t *testing.T) {
	deployertest.Run(t, deployertest.Harness{New: func(tb testing.TB) deployertest.Bed {
		b := conformanceBed(tb)
		b.Deployer = wrapped{b.Deployer}
		return b
	}})
}

type wrapped struct{ deployer.Deployer }

func processes(tb testing.TB) deployertest.Bed {
	b := conformanceBed(tb)
	jrequire.Engine(tb, "procdriver", len(b.Exit.Spec.Command) > 0, "processes cannot be driven on this machine")
	b.Echo = program(tb)
	return b
}

func TestConformanceOfProcesses(t *testing.T) {
	deployertest.Run(t, deployertest.Harness{New: processes})
}

func BenchmarkHandler(b *testing.B) { deployertest.Bench(b, deployertest.Harness{New: conformanceBed}) }
func BenchmarkProcess(b *testing.B) { deployertest.Bench(b, deployertest.Harness{New: processes}) }

func TestDeployInvokeStop(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
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

func TestACallThatBreaksOffTellsHowTheInstanceEnded(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	jrequire.Engine(t, "procdriver", b.proc, "processes cannot be driven on this machine")
	inst, err := b.deployer.Deploy(t.Context(), program(t), nil)
	require.NoError(t, err)

	_, err = inst.Invoke(t.Context(), &faas.Request{Method: "GET", Path: "/crash"})
	require.ErrorIs(t, err, faas.ErrFunction)
	<-inst.Done()
	require.ErrorContains(t, err, "SIGKILL")

	_, err = inst.Invoke(t.Context(), &faas.Request{Method: "GET", Path: "/echo"})
	require.ErrorIs(t, err, faas.ErrUnavailable)
	require.NoError(t, inst.Stop(t.Context()))
}
