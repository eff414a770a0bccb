//go:build linux

package cluster_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/orchestratortest"
)

// processes opens a driver of real processes that must leave nothing behind.
func processes(tb testing.TB) driver.Driver {
	dir, err := os.MkdirTemp("", "cl") // short: a socket's path must fit
	require.NoError(tb, err)
	d, err := procdriver.New(&procdriver.Options{Dir: dir})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, d.Close())
		left, err := os.ReadDir(dir)
		assert.NoError(tb, err)
		assert.Empty(tb, left)
		assert.NoError(tb, os.RemoveAll(dir))
	})
	return d
}

// get asks an instance over its socket or port.
func get(ctx context.Context, ep driver.Endpoint, path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, ep.Network, ep.Address)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://instance"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// kill9 kills the process of an instance, as the machine's operator would.
func kill9(tb testing.TB, ep driver.Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	body, err := get(ctx, ep, "/pid")
	require.NoError(tb, err)
	pid, err := strconv.Atoi(strings.TrimSpace(body))
	require.NoError(tb, err, body)
	require.NoError(tb, syscall.Kill(pid, syscall.SIGKILL))
}

func process(tb testing.TB, b orchestratortest.Behaviour) orchestrator.Workload {
	w := orchestrator.Workload{Driver: "proc", Contract: faas.ContractInherit, Command: []string{testbin.Build(tb)}}
	switch b {
	case orchestratortest.Fails:
		w.Command = append(w.Command, "exit-early", "3")
	case orchestratortest.Hangs:
		w.Command = append(w.Command, "never-ready")
	case orchestratortest.Missing:
		w.Command = []string{"/no/such/program"}
	}
	return w
}

func TestConformanceManagerWithProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some hundred processes")
	}
	l := &layer{drivers: processes, kill: func(_ driver.Driver, st driver.Status) { kill9(t, st.Endpoint) }}
	orchestratortest.RunManager(t, orchestratortest.ManagerHarness{Open: l.open, Workload: process, Nodes: true, Backoff: true,
		Call: func(ctx context.Context, ep driver.Endpoint) error {
			_, err := get(ctx, ep, "/echo")
			return err
		}})
}

func TestAProcessRunsFromTheCodeStore(t *testing.T) {
	names := memnaming.New(nil)
	t.Cleanup(func() { names.Close() })
	m, _ := startManager(t, names)
	binary, err := os.ReadFile(testbin.Build(t))
	require.NoError(t, err)
	code, dir := newCode(), t.TempDir()
	t.Cleanup(func() { assert.NoError(t, makeWritable(dir)) })
	digest := code.add(t, "function", binary)
	a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "n1"}, Code: code, CodeDir: dir,
		Drivers: []driver.Driver{processes(t)}, Logger: testLog(t)})
	require.NoError(t, err)
	runner(t, a.Run)
	w := process(t, orchestratortest.Serves)
	w.ID, w.Code, w.Command = "i1", digest, []string{"./function"}
	w.Restart = true
	require.NoError(t, m.Apply(t.Context(), w))
	first := await(t, m, "i1", phase(orchestrator.PhaseRunning))
	body, err := get(t.Context(), first.Endpoint, "/pid")
	require.NoError(t, err)
	assert.NotEmpty(t, body)

	kill9(t, first.Endpoint)
	s := await(t, m, "i1", func(s orchestrator.Status) bool { return s.Restarts == 1 && s.Reason != "" })
	assert.Contains(t, s.Reason, "SIGKILL")
	s = await(t, m, "i1", func(s orchestrator.Status) bool { return s.Restarts == 1 && s.Phase == orchestrator.PhaseRunning })
	assert.Equal(t, 1, code.opens[digest], "the second start finds the code unpacked")
	_, err = get(t.Context(), s.Endpoint, "/echo")
	require.NoError(t, err)
}
