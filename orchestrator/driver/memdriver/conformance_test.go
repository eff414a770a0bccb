package memdriver_test

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/driverplugin/driverplugintest"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
)

// serve answers as drivertest.Behaviour says.
func serve(_ context.Context, req *faas.Request) (*faas.Response, error) {
	if req.Path != "/stream" {
		body, err := req.Body.ReadAll(0)
		return &faas.Response{Body: faas.Bytes(body)}, err
	}
	q, err := url.ParseQuery(req.Query)
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(q.Get("n"))
	ms, _ := strconv.Atoi(q.Get("ms"))
	r, w := io.Pipe()
	go func() {
		for i := range n {
			fmt.Fprintf(w, "chunk %d\n", i)
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
		w.Close()
	}()
	return &faas.Response{Body: faas.Stream(r, -1)}, nil
}

var handlers = map[string]faas.Invoker{"serve": faas.InvokerFunc(serve)}

func harness(tb testing.TB, c faas.Contract, wrap func(driver.Driver) driver.Driver) drivertest.Harness {
	tmp := tb.TempDir()
	if t, ok := tb.(*testing.T); ok {
		t.Setenv("TMPDIR", tmp)
	}
	var d *memdriver.Driver
	h := drivertest.Harness{
		Open: func(testing.TB) driver.Driver {
			d = memdriver.New(&memdriver.Options{Handlers: handlers})
			return wrap(d)
		},
		Task: func(tb testing.TB, b drivertest.Behaviour) driver.Task {
			if b != drivertest.Serve && b != drivertest.Missing {
				tb.Skipf("a handler in the platform's process cannot do this: %s", b)
			}
			return driver.Task{Contract: c, Command: []string{string(b)}}
		},
		Leftovers: func(tb testing.TB) []string {
			left, err := filepath.Glob(filepath.Join(os.TempDir(), "memdriver-*"))
			require.NoError(tb, err)
			return left
		},
	}
	if c == faas.ContractHandler {
		h.Call = func(ctx context.Context, ep driver.Endpoint, req *faas.Request) (*faas.Response, error) {
			inst, err := d.Connect(ctx, faas.Function{}, ep)
			if err != nil {
				return nil, err
			}
			defer inst.Close()
			return inst.Invoke(ctx, req)
		}
	}
	return h
}

// wrapped is the driver as a decorator would hand it on.
type wrapped struct{ driver.Driver }

func (w wrapped) Unwrap() driver.Driver { return w.Driver }

func direct(d driver.Driver) driver.Driver    { return d }
func inWrapper(d driver.Driver) driver.Driver { return wrapped{d} }

var contracts = []faas.Contract{faas.ContractHandler, faas.ContractSocket, faas.ContractHTTP}

func TestConformance(t *testing.T) {
	for _, c := range contracts {
		t.Run(string(c), func(t *testing.T) { drivertest.Run(t, harness(t, c, direct)) })
	}
}

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	for _, c := range contracts {
		t.Run(string(c), func(t *testing.T) { drivertest.Run(t, harness(t, c, inWrapper)) })
	}
}

// acrossProcesses are the contracts of instances that another process can call.
var acrossProcesses = []faas.Contract{faas.ContractSocket, faas.ContractHTTP}

// TestConformancePiped: on the other side of the plugin wire, in this process.
func TestConformancePiped(t *testing.T) {
	for _, c := range acrossProcesses {
		t.Run(string(c), func(t *testing.T) { drivertest.Run(t, driverplugintest.Piped(harness(t, c, direct))) })
	}
}

// TestConformanceBinary: this program, as a plugin.
func TestConformanceBinary(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	h := harness(t, faas.ContractSocket, direct)
	drivertest.Run(t, driverplugintest.Binary(h, self, &driverplugin.Options{
		Args: []string{"plugin"}, Env: []string{"TMPDIR=" + os.TempDir(), "GORACE=atexit_sleep_ms=0"}}))
}

func BenchmarkConformance(b *testing.B) {
	drivertest.Bench(b, harness(b, faas.ContractHandler, direct))
}
