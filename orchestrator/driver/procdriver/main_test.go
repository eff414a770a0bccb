//go:build linux

package procdriver_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// limit is far beyond what anything takes on a busy machine.
const limit = 30 * time.Second

func TestMain(m *testing.M) {
	if beFunction() {
		return
	}
	goleak.VerifyTestMain(m)
}

// open returns a driver that is closed, and checked for what it leaves, at the end.
func open(tb testing.TB, o *procdriver.Options) *procdriver.Driver {
	tb.Helper()
	var v procdriver.Options
	if o != nil {
		v = *o
	}
	if v.Dir == "" {
		v.Dir = shortDir(tb)
	}
	d, err := procdriver.New(&v)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, d.Close())
		left, err := os.ReadDir(v.Dir)
		assert.NoError(tb, err)
		assert.Empty(tb, left, "files are left")
	})
	return d
}

// shortDir is a temporary directory whose path leaves room for a socket's.
func shortDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "pd")
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, os.RemoveAll(dir)) })
	return dir
}

func ctx(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	tb.Cleanup(cancel)
	return ctx
}

// task runs the test function.
func task(tb testing.TB, id string, c faas.Contract, args ...string) driver.Task {
	return driver.Task{ID: id, Contract: c, Command: append([]string{testbin.Build(tb)}, args...)}
}

func start(tb testing.TB, d *procdriver.Driver, t driver.Task) driver.Status {
	tb.Helper()
	st, err := d.Start(ctx(tb), t)
	require.NoError(tb, err)
	return st
}

// client talks to one endpoint.
func client(tb testing.TB, e driver.Endpoint) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, e.Network, e.Address)
	}}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: limit}
}

// self is the path of this program, to run as a function.
func self(tb testing.TB) string {
	tb.Helper()
	path, err := os.Executable()
	require.NoError(tb, err)
	return path
}

// stdio is a task that runs this program for each request.
func stdio(tb testing.TB, id string) driver.Task {
	return driver.Task{ID: id, Contract: faas.ContractStdio, Command: []string{self(tb), "answer"},
		Env: map[string]string{"GORACE": "atexit_sleep_ms=0"}} // the race detector would sleep for 1 s
}

// gone waits until the process is gone, or a zombie of somebody else.
func gone(tb testing.TB, pid string) {
	tb.Helper()
	require.Eventually(tb, func() bool { return state(pid) == "" || state(pid) == "Z" }, limit, time.Millisecond, "process %s lives", pid)
}
