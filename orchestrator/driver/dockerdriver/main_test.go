package dockerdriver_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/dockerengine"
	require_ "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

// limit is far beyond what anything takes on a busy machine.
const limit = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needEngine skips the test where there is no engine.
func needEngine(tb testing.TB) {
	tb.Helper()
	err := dockerengine.Available(tb.Context())
	require_.Engine(tb, "docker", err == nil, fmt.Sprint(err))
}

// open returns a driver that is closed, and checked for what it leaves, at the end.
func open(tb testing.TB, o dockerdriver.Options) *dockerdriver.Driver {
	tb.Helper()
	if o.Host == "" {
		needEngine(tb)
	}
	if o.Dir == "" {
		o.Dir = shortDir(tb)
	}
	d, err := dockerdriver.New(ctx(tb), &o)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, d.Close()) })
	return d
}

// shortDir is a temporary directory whose path leaves room for a socket's. In the end nothing must be
// left of drivers that use it.
func shortDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "dd")
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if dockerengine.Available(ctx(tb)) == nil {
			assert.Empty(tb, leftovers(tb, dir), "left behind")
			var networks []found
			api(tb, dockerdriver.DefaultHost, http.MethodGet, "/networks", nil, nil, &networks)
			for _, n := range networks {
				assert.False(tb, strings.HasPrefix(n.Labels["joinery.dir"], dir+"/"), "a network is left behind")
			}
		}
		assert.NoError(tb, os.RemoveAll(dir))
	})
	return dir
}

func ctx(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), limit)
	tb.Cleanup(cancel)
	return ctx
}

// code is a directory with the test function as "function".
func code(tb testing.TB) string {
	tb.Helper()
	bin := testbin.Build(tb)
	dir := filepath.Join(filepath.Dir(bin), "docker-"+filepath.Base(bin))
	require.NoError(tb, os.MkdirAll(dir, 0o755))
	if err := os.Link(bin, filepath.Join(dir, "function")); err != nil {
		require.ErrorIs(tb, err, os.ErrExist)
	}
	return dir
}

// task runs the test function in the empty image.
func task(tb testing.TB, id string, c faas.Contract, args ...string) driver.Task {
	return driver.Task{ID: id, Contract: c, Dir: code(tb), Command: append([]string{"./function"}, args...), StartTimeout: limit}
}

func start(tb testing.TB, d driver.Driver, t driver.Task) driver.Status {
	tb.Helper()
	st, err := d.Start(ctx(tb), t)
	require.NoError(tb, err)
	return st
}

// api calls an engine without the driver.
func api(tb testing.TB, host, method, path string, q url.Values, in io.Reader, out any) {
	tb.Helper()
	socket := strings.TrimPrefix(host, "unix://")
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx(tb), method, "http://docker/v1.41"+path+"?"+q.Encode(), in)
	require.NoError(tb, err)
	req.Header.Set("Content-Type", "application/x-tar")
	if path == "/containers/create" || path == "/networks/create" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := tr.RoundTrip(req)
	require.NoError(tb, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	require.Less(tb, resp.StatusCode, 300, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(tb, json.Unmarshal(text, out))
	}
}

type found struct {
	ID     string `json:"Id"`
	Names  []string
	Labels map[string]string
}

// containers lists those of drivers with directories in dir; all when it is empty.
func containers(tb testing.TB, host, dir string) (of []found) {
	tb.Helper()
	var all []found
	api(tb, host, http.MethodGet, "/containers/json", url.Values{"all": {"1"}}, nil, &all)
	for _, c := range all {
		if dir == "" || strings.HasPrefix(c.Labels["joinery.dir"], dir+"/") {
			of = append(of, c)
		}
	}
	return of
}

// leftovers are the containers and directories of drivers whose directory is dir.
func leftovers(tb testing.TB, dir string) (left []string) {
	for _, c := range containers(tb, dockerdriver.DefaultHost, dir) {
		left = append(left, "container "+c.Names[0])
	}
	dirs, err := filepath.Glob(dir + "/*/*")
	require.NoError(tb, err)
	return append(left, dirs...)
}

// image makes an image of the test function, whose own command serves, and returns its reference.
func image(tb testing.TB, host string) string {
	tb.Helper()
	const name = "joinery-test/function"
	text, err := os.ReadFile(filepath.Join(code(tb), "function"))
	require.NoError(tb, err)
	tag := fmt.Sprintf("%x", sha256.Sum256(text))[:16]
	var there []json.RawMessage
	api(tb, host, http.MethodGet, "/images/json", url.Values{"filters": {`{"reference":["` + name + ":" + tag + `"]}`}}, nil, &there)
	if len(there) > 0 {
		return name + ":" + tag
	}
	q := url.Values{"fromSrc": {"-"}, "repo": {name}, "tag": {tag},
		"changes": {`ENTRYPOINT ["/function"]`, `WORKDIR /`, `ENV FROM_IMAGE=yes`}}
	api(tb, host, http.MethodPost, "/images/create", q, bytes.NewReader(tarOf(tb, "function", text)), nil)
	return name + ":" + tag
}
