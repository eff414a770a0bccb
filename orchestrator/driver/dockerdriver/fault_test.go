package dockerdriver_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/dockerengine"
	require_ "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

// private starts an engine that the test may break.
func private(t *testing.T, c dockerengine.Config) *dockerengine.Engine {
	t.Helper()
	needEngine(t)
	require_.Engine(t, "docker", os.Getuid() == 0, "a private engine takes root")
	e, err := dockerengine.Start(ctx(t), c)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's log:\n%s", e.Log())
		}
		assert.NoError(t, e.Close())
	})
	return e
}

func TestNoEngine(t *testing.T) {
	_, err := dockerdriver.New(ctx(t), &dockerdriver.Options{Host: "unix:///no/such/socket"})
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.ErrorContains(t, err, "start the Docker Engine")
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	require.NoError(t, err)
	defer l.Close()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = dockerdriver.New(short, &dockerdriver.Options{Host: "unix://" + l.Addr().String()})
	assert.ErrorIs(t, err, faas.ErrTimeout, "it is connected to, and does not answer")
}

// await waits for what a driver finds out by itself.
func await(t *testing.T, d driver.Driver, what string, ok func([]driver.Status) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		all, err := d.List(ctx(t))
		return err == nil && ok(all)
	}, limit, 10*time.Millisecond, what)
}

func ended(id string) func([]driver.Status) bool {
	return func(all []driver.Status) bool {
		for _, st := range all {
			if st.ID == id {
				return st.State == driver.StateEnded
			}
		}
		return false
	}
}

// TestEngineStops: an engine that is stopped takes its containers along. Each call says what is the
// matter, and when it is back the driver goes on.
func TestEngineStops(t *testing.T) {
	t.Parallel()
	e := private(t, dockerengine.Config{})
	d := open(t, dockerdriver.Options{Host: e.Host()})
	start(t, d, task(t, "before", faas.ContractSocket))
	require.NoError(t, e.Stop())
	_, err := d.Start(ctx(t), task(t, "meanwhile", faas.ContractSocket))
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.ErrorIs(t, d.Stop(ctx(t), "before", 0), faas.ErrUnavailable)
	require.NoError(t, e.Restart(ctx(t)))
	await(t, d, "the end that was asked for goes on", func(all []driver.Status) bool { return len(all) == 0 })
	start(t, d, task(t, "meanwhile", faas.ContractSocket))
	assert.Len(t, containers(t, e.Host(), ""), 1, "nothing is left of the start that failed")
	require.NoError(t, e.Restart(ctx(t)))
	await(t, d, "the end of an instance by the engine's own", ended("meanwhile"))
	require.NoError(t, d.Stop(ctx(t), "meanwhile", time.Minute))
	assert.Empty(t, containers(t, e.Host(), ""))
}

// TestEngineIsKilled: its containers serve on without it.
func TestEngineIsKilled(t *testing.T) {
	t.Parallel()
	e := private(t, dockerengine.Config{})
	d := open(t, dockerdriver.Options{Host: e.Host()})
	st := start(t, d, task(t, "i1", faas.ContractSocket))
	require.NoError(t, e.Kill())
	testcall.MustGet(t, st.Endpoint, "/pid")
	assert.ErrorIs(t, d.Stop(ctx(t), "i1", 0), faas.ErrUnavailable)
	testcall.MustGet(t, st.Endpoint, "/pid")
	require.NoError(t, e.Restart(ctx(t)))
	await(t, d, "the end that was asked for goes on", func(all []driver.Status) bool { return len(all) == 0 })
	assert.Empty(t, containers(t, e.Host(), ""))
}

// TestEngineHangs: a call returns at its deadline, and nothing is left when the engine goes on.
func TestEngineHangs(t *testing.T) {
	t.Parallel()
	e := private(t, dockerengine.Config{})
	d := open(t, dockerdriver.Options{Host: e.Host()})
	st := start(t, d, task(t, "i1", faas.ContractSocket))
	require.NoError(t, e.Freeze())
	time.AfterFunc(time.Second, func() { assert.NoError(t, e.Thaw()) })
	short, cancel := context.WithTimeout(ctx(t), 100*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, d.Stop(short, "i1", 0), faas.ErrTimeout)
	testcall.MustGet(t, st.Endpoint, "/pid")
	_, err := d.Start(short, task(t, "i2", faas.ContractSocket))
	assert.ErrorIs(t, err, faas.ErrTimeout)
	await(t, d, "the end that was asked for goes on", func(all []driver.Status) bool { return len(all) == 0 })
	assert.Empty(t, containers(t, e.Host(), ""))
}

// TestEngineIsDownAtTheEnd: Close says that it could not clean up.
func TestEngineIsDownAtTheEnd(t *testing.T) {
	t.Parallel()
	e := private(t, dockerengine.Config{})
	d, err := dockerdriver.New(ctx(t), &dockerdriver.Options{Host: e.Host(), Dir: shortDir(t)})
	require.NoError(t, err)
	start(t, d, task(t, "i1", faas.ContractSocket))
	require.NoError(t, e.Kill())
	assert.ErrorIs(t, d.Close(), faas.ErrUnavailable)
	assert.NoError(t, d.Close())
}

// TestEngineIsOutOfDisk: a start says so and leaves nothing; with room there is another.
func TestEngineIsOutOfDisk(t *testing.T) {
	t.Parallel()
	e := private(t, dockerengine.Config{Disk: 64 << 20})
	d := open(t, dockerdriver.Options{Host: e.Host()})
	start(t, d, task(t, "before", faas.ContractSocket))
	ballast := filepath.Join(e.Data(), "ballast")
	f, err := os.Create(ballast)
	require.NoError(t, err)
	chunk := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(chunk)
	}
	for err = nil; err == nil; { // to the last byte
		_, err = f.Write(chunk[:512])
	}
	require.NoError(t, f.Close())
	_, err = d.Start(ctx(t), task(t, "full", faas.ContractSocket))
	assert.ErrorIs(t, err, faas.ErrExhausted)
	assert.ErrorContains(t, err, "free some of the disk")
	require.NoError(t, os.Remove(ballast))
	start(t, d, task(t, "full", faas.ContractSocket))
	assert.Len(t, containers(t, e.Host(), ""), 2)
}

// newer is an engine of another version in front of the real one: it takes the API versions from min to
// max only, as later engines do, and speaks 1.41 to the real one.
func newer(t *testing.T, oldest, newest string) string {
	needEngine(t)
	path := filepath.Join(shortDir(t), "s")
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "docker"})
			if _, rest, ok := strings.Cut(strings.TrimPrefix(r.In.URL.Path, "/v"), "/"); ok && strings.HasPrefix(r.In.URL.Path, "/v1.") {
				r.Out.URL.Path = "/v1.41/" + rest
			}
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dockerengine.DefaultSocket)
		}},
		FlushInterval: -1,
	}
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			_, _ = w.Write([]byte(`{"Version":"x","ApiVersion":"` + newest + `","MinAPIVersion":"` + oldest + `"}`))
			return
		}
		v, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
		if len(v) != 4 || v < oldest || v > newest {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":"client version ` + v + ` is not supported"}`))
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "unix://" + path
}

// TestEveryVersionOfTheAPI: engines of today and of 2020 are spoken to alike.
func TestEveryVersionOfTheAPI(t *testing.T) {
	for _, v := range [][2]string{{"1.12", "1.41"}, {"1.24", "1.43"}, {"1.44", "1.52"}, {"1.44", "1.44"}} {
		d := open(t, dockerdriver.Options{Host: newer(t, v[0], v[1])})
		st := start(t, d, task(t, "i1", faas.ContractSocket))
		testcall.MustGet(t, st.Endpoint, "/pid")
		_, err := d.Stats(ctx(t), "i1")
		assert.NoError(t, err)
		assert.NoError(t, d.Stop(ctx(t), "i1", time.Minute))
	}
	for _, v := range [][2]string{{"1.12", "1.40"}, {"1.60", "1.70"}, {"", ""}} {
		_, err := dockerdriver.New(ctx(t), &dockerdriver.Options{Host: newer(t, v[0], v[1])})
		assert.ErrorIs(t, err, faas.ErrUnimplemented)
		assert.ErrorContains(t, err, "upgrade the ")
	}
}
