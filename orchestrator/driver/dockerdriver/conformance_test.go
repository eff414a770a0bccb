package dockerdriver_test

import (
	"archive/tar"
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/driverplugin/driverplugintest"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	needEngine(t)
	t.Run(string(faas.ContractSocket), func(t *testing.T) {
		t.Parallel()
		h := harness(t, faas.ContractSocket, "")
		h.Crash = func(tb testing.TB, d driver.Driver) driver.Driver {
			dockerdriver.Die(d.(*dockerdriver.Driver))
			return h.Open(tb)
		}
		drivertest.Run(t, h)
	})
	t.Run(string(faas.ContractHTTP), func(t *testing.T) {
		t.Parallel()
		drivertest.Run(t, harness(t, faas.ContractHTTP, network(t))) // a private one is long to make
	})
}

// network makes a network for instances.
func network(t *testing.T) string {
	name := "joinery-test-" + filepath.Base(shortDir(t))
	api(t, dockerdriver.DefaultHost, http.MethodPost, "/networks/create", nil, strings.NewReader(`{"Name":"`+name+`","Internal":true}`), nil)
	t.Cleanup(func() { api(t, dockerdriver.DefaultHost, http.MethodDelete, "/networks/"+name, nil, nil, nil) })
	return name
}

func TestConformancePiped(t *testing.T) {
	t.Parallel()
	needEngine(t)
	drivertest.Run(t, driverplugintest.Piped(harness(t, faas.ContractSocket, "")))
}

func TestConformanceBinary(t *testing.T) {
	t.Parallel()
	needEngine(t)
	h, dir := harnessIn(t, faas.ContractSocket, "")
	drivertest.Run(t, driverplugintest.Binary(h, plugin(t), &driverplugin.Options{
		Env: []string{"JOINERY_DOCKER_DIR=" + dir, "JOINERY_DOCKER_PULL=never"}}))
}

// plugin builds the plugin.
func plugin(tb testing.TB) string { return driverplugintest.Build(tb, "./cmd/faas-driver-docker") }

func harness(t *testing.T, c faas.Contract, network string) drivertest.Harness {
	h, _ := harnessIn(t, c, network)
	return h
}

// harnessIn also returns the directory of its drivers.
func harnessIn(t *testing.T, c faas.Contract, network string) (drivertest.Harness, string) {
	dir := shortDir(t)
	return drivertest.Harness{
		Open: func(tb testing.TB) driver.Driver {
			d, err := dockerdriver.New(ctx(tb), &dockerdriver.Options{Dir: dir, Pull: dockerdriver.PullNever, Network: network})
			require.NoError(tb, err)
			return d
		},
		Task:      func(tb testing.TB, b drivertest.Behaviour) driver.Task { return behaviour(tb, c, b) },
		Leftovers: func(tb testing.TB) []string { return leftovers(tb, dir) },
		Limits:    testcall.Limits(limited, cpuBites),
	}, dir
}

func behaviour(tb testing.TB, c faas.Contract, b drivertest.Behaviour) driver.Task {
	t := task(tb, "", c)
	t.StartTimeout = 0
	switch b {
	case drivertest.IgnoreTerm:
		t.Command = append(t.Command, "ignore-term")
	case drivertest.NeverReady:
		t.Command = append(t.Command, "never-ready")
	case drivertest.ExitEarly:
		t.Command = append(t.Command, "exit-early", "3")
	case drivertest.Missing:
		t.Command = []string{"/no/such/program"}
	case drivertest.OutOfMemory:
		t.Limits.Memory = 64 << 20
	case drivertest.Image:
		t.Image, t.Dir, t.Command = image(tb, dockerdriver.DefaultHost), "", nil
	case drivertest.MissingImage:
		t.Image, t.Dir, t.Command = "joinery-test/no-such-image:1", "", nil
	}
	return t
}

func tarOf(tb testing.TB, name string, text []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(text))},
	} {
		require.NoError(tb, w.WriteHeader(h))
	}
	_, err := w.Write(text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.Bytes()
}

// limited starts a task with limits.
func limited(tb testing.TB, d driver.Driver, l faas.Resources) driver.Endpoint {
	tb.Helper()
	t := task(tb, "limited", faas.ContractSocket)
	t.Limits = l
	st := start(tb, d, t)
	tb.Cleanup(func() { _ = d.Stop(ctx(tb), t.ID, 0) })
	return st.Endpoint
}

func cpuBites(tb testing.TB, d driver.Driver) {
	e := limited(tb, d, faas.Resources{MilliCPU: 50})
	src, ok := driver.Find[driver.StatsSource](d)
	require.True(tb, ok)
	before, err := src.Stats(ctx(tb), "limited")
	require.NoError(tb, err)
	testcall.MustGet(tb, e, "/burn?ms=1000")
	after, err := src.Stats(ctx(tb), "limited")
	require.NoError(tb, err)
	assert.Less(tb, (after.CPU - before.CPU).Seconds(), 0.4, "seconds of one CPU in at least one second, with a limit of 0.05")
}
