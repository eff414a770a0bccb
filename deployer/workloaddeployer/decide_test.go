package workloaddeployer_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// onNodes is a resource manager that only knows its nodes.
type onNodes struct {
	orchestrator.ResourceManager
	nodes []orchestrator.NodeState
}

func (n onNodes) Nodes(context.Context) ([]orchestrator.NodeState, error) { return n.nodes, nil }

type noConnector struct{}

func (noConnector) Connect(context.Context, faas.Function, driver.Endpoint) (faas.InvokeCloser, error) {
	return nil, faas.Errorf("test", "connect", "", faas.ErrUnimplemented, "no")
}

func deciding(t *testing.T, defaults workloaddeployer.Defaults, infos ...driver.Info) *workloaddeployer.Deployer {
	t.Helper()
	var nodes []orchestrator.NodeState
	for _, info := range infos { // each on a node of its own
		nodes = append(nodes, orchestrator.NodeState{Node: orchestrator.Node{Name: "n" + info.Name, Drivers: []driver.Info{info}}})
	}
	d, err := workloaddeployer.New(workloaddeployer.Config{
		Resources: onNodes{nodes: nodes}, Connectors: map[string]deployer.Connector{"unix": noConnector{}}, Defaults: defaults,
	})
	require.NoError(t, err)
	return d
}

var (
	mem = driver.Info{Name: "mem", Contracts: []faas.Contract{faas.ContractHandler, faas.ContractSocket}}
	pro = driver.Info{Name: "proc", Contracts: []faas.Contract{faas.ContractSocket, faas.ContractHTTP}, Isolation: faas.IsolationProcess,
		NeedsCode: true, Limits: driver.LimitSupport{Memory: true}}
	box = driver.Info{Name: "docker", Contracts: []faas.Contract{faas.ContractHTTP, faas.ContractSocket}, Isolation: faas.IsolationContainer,
		NeedsCode: true, Images: true, Limits: driver.LimitSupport{Memory: true, MilliCPU: true}}
)

const someCode = faas.Digest("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

func TestTheChoiceOfTheDriver(t *testing.T) {
	d := deciding(t, workloaddeployer.Defaults{}, box, pro, mem)
	spec := func(change func(*faas.Spec)) faas.Spec {
		s := faas.Spec{Contract: faas.ContractSocket, Command: []string{"./f"}}
		change(&s)
		return s
	}
	for _, c := range []struct {
		what    string
		spec    faas.Spec
		options deployer.Options
		want    string // driver, or what the error says
		class   error
	}{
		{"the least isolation", spec(func(s *faas.Spec) {}), deployer.Options{}, "mem", nil},
		{"code needs a driver that runs code", spec(func(s *faas.Spec) { s.Code = someCode }), deployer.Options{}, "proc", nil},
		{"isolation", spec(func(s *faas.Spec) { s.Isolation = faas.IsolationSandbox }), deployer.Options{}, "docker", nil},
		{"isolation raised", spec(func(s *faas.Spec) { s.Code = someCode }), deployer.Options{Isolation: faas.IsolationContainer}, "docker", nil},
		{"isolation not lowered", spec(func(s *faas.Spec) { s.Isolation = faas.IsolationContainer }), deployer.Options{Isolation: faas.IsolationProcess}, "docker", nil},
		{"a limit", spec(func(s *faas.Spec) { s.Limits.MilliCPU = 100 }), deployer.Options{}, "docker", nil},
		{"a limit by the requester", spec(func(s *faas.Spec) {}), deployer.Options{Limits: faas.Resources{Memory: 1}}, "proc", nil},
		{"an image", spec(func(s *faas.Spec) { s.Image, s.Command = "hello:1", nil }), deployer.Options{}, "docker", nil},
		{"an image without a driver for it", spec(func(s *faas.Spec) { s.Image, s.Driver = "hello:1", "proc" }), deployer.Options{}, `"proc" does not run images`, faas.ErrUnimplemented},
		{"a bad image", spec(func(s *faas.Spec) { s.Image = "Hello" }), deployer.Options{}, `"Hello" is not a reference to an OCI image`, faas.ErrInvalidArgument},
		{"a name", spec(func(s *faas.Spec) { s.Driver = "proc" }), deployer.Options{}, "proc", nil},
		{"the requester's name", spec(func(s *faas.Spec) { s.Driver = "proc" }), deployer.Options{Driver: "docker"}, "docker", nil},
		{"a name that will not do", spec(func(s *faas.Spec) { s.Driver = "proc"; s.Limits.MilliCPU = 1 }), deployer.Options{}, `"proc" cannot enforce limits.milliCPU`, faas.ErrUnimplemented},
		{"an unknown name", spec(func(s *faas.Spec) { s.Driver = "vm" }), deployer.Options{}, `no node offers the driver "vm"`, faas.ErrUnimplemented},
		{"too much isolation", spec(func(s *faas.Spec) { s.Isolation = faas.IsolationVM }), deployer.Options{}, `"docker" isolates at L3 container, less than L4 vm`, faas.ErrUnimplemented},
		{"a bad constraint", spec(func(s *faas.Spec) { s.Constraints = []faas.Constraint{{Field: "a", Operator: "MAX_PER", Value: "x"}} }), deployer.Options{}, `a MAX_PER x`, faas.ErrInvalidArgument},
	} {
		got, err := d.Decide(t.Context(), faas.Function{Ref: faas.Ref{Namespace: "default", Name: "f", Version: "1"}, Spec: c.spec}, &c.options)
		if c.class != nil {
			require.ErrorIs(t, err, c.class, c.what)
			require.ErrorContains(t, err, c.want, c.what)
			continue
		}
		require.NoError(t, err, c.what)
		require.Equal(t, c.want, got.Driver, "%s: %v", c.what, got.Reasons)
		all := strings.Join(got.Reasons, "\n")
		for _, name := range []string{"mem", "proc", "docker"} {
			require.Contains(t, all, `driver "`+name+`"`, "%s: every driver is explained", c.what)
		}
	}
}

func TestDefaultsAreTheLastWord(t *testing.T) {
	d := deciding(t, workloaddeployer.Defaults{Requests: faas.Resources{Memory: 1, MilliCPU: 1}, Limits: faas.Resources{Memory: 3}}, pro)
	fn := function("f")
	fn.Spec.Contract, fn.Spec.Requests = faas.ContractHTTP, faas.Resources{Memory: 2}
	got, err := d.Decide(t.Context(), fn, nil)
	require.NoError(t, err)
	require.Equal(t, faas.Resources{Memory: 2, MilliCPU: 1}, got.Requests)
	require.Equal(t, faas.Resources{Memory: 3}, got.Limits)
	require.Equal(t, []string{
		`driver "proc": it offers the contract "http" and isolates at L1 process, the least of those that will do`,
		"requests.milliCPU 1: by default", "requests.memory 2: by the function", "limits.memory 3: by default",
	}, got.Reasons)
}

func TestWithoutAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it waits a moment for the first
		_, err := deciding(t, workloaddeployer.Defaults{}).Decide(t.Context(), function("f"), nil)
		require.ErrorIs(t, err, faas.ErrUnavailable)
	})
}

func TestConfigIsCheckedAllAtOnce(t *testing.T) {
	_, err := workloaddeployer.New(workloaddeployer.Config{
		Connectors: map[string]deployer.Connector{"unix": nil},
		Defaults:   workloaddeployer.Defaults{Limits: faas.Resources{Memory: -1}, StartTimeout: -time.Second},
	})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, part := range []string{"Resources", `network unix is nil`, "limits.memory", "startTimeout"} {
		require.ErrorContains(t, err, part)
	}
}
