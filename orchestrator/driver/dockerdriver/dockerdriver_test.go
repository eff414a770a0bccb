package dockerdriver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	require_ "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	_, err := dockerdriver.New(t.Context(), &dockerdriver.Options{Host: "tcp://elsewhere:2375", Dir: strings.Repeat("/d", 40), Base: "No",
		Pull: 9, Network: "host", User: "0:0", Parallel: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Host", "Dir", "Base", "Pull", "Network", "User", "Parallel"} {
		assert.ErrorContains(t, err, field)
	}
}

// confinement is what the kernel says of a container's process.
func TestContainersAreConfined(t *testing.T) {
	for _, c := range []faas.Contract{faas.ContractSocket, faas.ContractHTTP} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			d := open(t, dockerdriver.Options{Dir: dir})
			st := start(t, d, task(t, "confined", c))
			mine := containers(t, dockerdriver.DefaultHost, dir)
			require.Len(t, mine, 1)
			var top struct{ Processes [][]string }
			api(t, dockerdriver.DefaultHost, http.MethodGet, "/containers/"+mine[0].ID+"/top", nil, nil, &top)
			require.NotEmpty(t, top.Processes)
			for _, p := range top.Processes {
				status, err := os.ReadFile("/proc/" + p[1] + "/status")
				require.NoError(t, err)
				for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapPrm:\t0000000000000000",
					"NoNewPrivs:\t1", "Seccomp:\t2", "Uid:\t65532\t65532", "Gid:\t65532\t65532"} {
					assert.Contains(t, string(status), want)
				}
				devices, err := os.ReadFile("/proc/" + p[1] + "/net/dev")
				require.NoError(t, err)
				assert.Contains(t, string(devices), "lo:")
				assert.Equal(t, c == faas.ContractHTTP, strings.Contains(string(devices), "eth0:"))
				mounts, err := os.ReadFile("/proc/" + p[1] + "/mounts")
				require.NoError(t, err)
				for _, line := range strings.Split(strings.TrimSpace(string(mounts)), "\n") {
					f := strings.Fields(line)
					kernels := strings.HasPrefix(f[1], "/dev") || strings.HasPrefix(f[1], "/proc") || f[1] == "/sys/fs/cgroup"
					writable := f[1] == "/tmp" || f[1] == "/run/joinery" || kernels // and there is root's
					assert.True(t, writable || strings.HasPrefix(f[3], "ro"), "%s can be written to", line)
				}
			}
			assert.Equal(t, "/tmp", testcall.MustGet(t, st.Endpoint, "/cwd"))
			var env map[string]string
			require.NoError(t, json.Unmarshal([]byte(testcall.MustGet(t, st.Endpoint, "/env")), &env))
			assert.Equal(t, "/tmp", env["HOME"])
			assert.Equal(t, "/tmp", env["TMPDIR"])
			if c == faas.ContractHTTP {
				var network struct {
					Internal bool
					Options  map[string]string
				}
				api(t, dockerdriver.DefaultHost, http.MethodGet, "/networks/"+filepath.Base(mine[0].Labels["joinery.dir"]), nil, nil, &network)
				assert.True(t, network.Internal, "there is no way out")
				assert.Equal(t, "false", network.Options["com.docker.network.bridge.enable_icc"], "nor to each other")
			}
			assert.Contains(t, testcall.MustGet(t, st.Endpoint, fmt.Sprintf("/write?bytes=%d", 65<<20)), "no space left", "/tmp is bounded")
		})
	}
}

// TestTheSocketsDirectoryIsSealed: once its socket is there, an instance cannot fill this machine's disk.
func TestTheSocketsDirectoryIsSealed(t *testing.T) {
	require_.Engine(t, "root", os.Getuid() == 0, "only root can take the directory away")
	dir := shortDir(t)
	d := open(t, dockerdriver.Options{Dir: dir})
	start(t, d, task(t, "sealed", faas.ContractSocket))
	dirs, err := filepath.Glob(dir + "/*/*")
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	info, err := os.Stat(filepath.Join(dirs[0], "d"))
	require.NoError(t, err)
	assert.Equal(t, "drwxr-x---", info.Mode().String())
	root, err := os.Stat(filepath.Dir(dirs[0]))
	require.NoError(t, err)
	assert.Equal(t, "drwx------", root.Mode().String(), "nobody else connects to the sockets")
}

// hostile is a function that makes a symbolic link of its socket, to where the argument says.
const hostile = `package main

import ("os"; "time")

func main() {
	if err := os.Symlink(os.Args[1], os.Getenv("SOCKET")); err != nil { panic(err) }
	time.Sleep(time.Minute)
}
`

// TestASocketThatIsALink: an instance does not get its callers to talk to the engine as the platform.
func TestASocketThatIsALink(t *testing.T) {
	d := open(t, dockerdriver.Options{})
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(hostile), 0o644))
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "function"), filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	_, err = d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractSocket, Dir: dir,
		Command: []string{"./function", strings.TrimPrefix(dockerdriver.DefaultHost, "unix://")}})
	require.ErrorIs(t, err, faas.ErrFunction)
	assert.ErrorContains(t, err, "is not a socket")
}

func TestImages(t *testing.T) {
	d := open(t, dockerdriver.Options{Pull: dockerdriver.PullNever})
	ref := image(t, dockerdriver.DefaultHost)
	own := start(t, d, driver.Task{ID: "own-command", Contract: faas.ContractSocket, Image: ref, StartTimeout: limit})
	assert.Equal(t, "/", testcall.MustGet(t, own.Endpoint, "/cwd"), "the image says where it works")
	assert.Contains(t, testcall.MustGet(t, own.Endpoint, "/env"), `"FROM_IMAGE":"yes"`)
	with := task(t, "code-in-image", faas.ContractHTTP)
	with.Image = ref
	st := start(t, d, with)
	assert.Equal(t, "/tmp", testcall.MustGet(t, st.Endpoint, "/cwd"))
	_, err := d.Start(ctx(t), driver.Task{ID: "not-executable", Contract: faas.ContractSocket, Image: ref, Command: []string{"/tmp"}})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "Permission denied")
}

func TestImagesThatCannotBePulled(t *testing.T) {
	d := open(t, dockerdriver.Options{})
	for _, ref := range []string{"127.0.0.1:9/joinery/nowhere:1", "127.0.0.1:9/joinery/nowhere@sha256:" + strings.Repeat("0", 64)} {
		_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractSocket, Image: ref, StartTimeout: limit})
		assert.ErrorIs(t, err, faas.ErrUnavailable)
	}
	all, err := d.List(ctx(t))
	require.NoError(t, err)
	assert.Empty(t, all)
}

func TestRefusals(t *testing.T) {
	d := open(t, dockerdriver.Options{})
	for _, c := range []faas.Contract{faas.ContractInherit, faas.ContractStdio, faas.ContractHandler} {
		_, err := d.Start(ctx(t), task(t, "i1", c))
		assert.ErrorIs(t, err, faas.ErrUnimplemented)
	}
	bad := task(t, "i1", faas.ContractSocket)
	bad.Dir = "relative"
	_, err := d.Start(ctx(t), bad)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	bad.Dir = "/no/such/directory"
	_, err = d.Start(ctx(t), bad)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "/no/such/directory")
}

// TestNameClash: a container of somebody else has the name.
func TestNameClash(t *testing.T) {
	dir := shortDir(t)
	d := open(t, dockerdriver.Options{Dir: dir})
	start(t, d, task(t, "first", faas.ContractSocket))
	roots, err := filepath.Glob(dir + "/*")
	require.NoError(t, err)
	require.Len(t, roots, 1)
	name := filepath.Base(roots[0]) + "-second"
	var made struct{ ID string }
	api(t, dockerdriver.DefaultHost, http.MethodPost, "/containers/create", map[string][]string{"name": {name}},
		strings.NewReader(`{"Image":"joinery/empty:1","Cmd":["/x"]}`), &made)
	t.Cleanup(func() {
		api(t, dockerdriver.DefaultHost, http.MethodDelete, "/containers/"+made.ID, nil, nil, nil) // it is still there
	})
	_, err = d.Start(ctx(t), task(t, "second", faas.ContractSocket))
	assert.ErrorIs(t, err, faas.ErrAlreadyExists)
	assert.ErrorContains(t, err, "remove the container "+name)
	all, err := d.List(ctx(t))
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

// TestRemovedBehindOurBack: whoever uses the engine's own tools ends instances, and nothing is left over.
func TestRemovedBehindOurBack(t *testing.T) {
	dir := shortDir(t)
	d := open(t, dockerdriver.Options{Dir: dir})
	start(t, d, task(t, "removed", faas.ContractSocket))
	watching, cancel := context.WithCancel(ctx(t))
	defer cancel()
	for _, c := range containers(t, dockerdriver.DefaultHost, dir) {
		go api(t, dockerdriver.DefaultHost, http.MethodDelete, "/containers/"+c.ID, map[string][]string{"force": {"1"}}, nil, nil)
	}
	for st, err := range d.Watch(watching) {
		require.NoError(t, err)
		if st.State == driver.StateEnded {
			assert.Contains(t, []driver.ExitReason{driver.ExitLost, driver.ExitSignaled}, st.Exit.Reason)
			break
		}
	}
	require.NoError(t, d.Stop(ctx(t), "removed", time.Minute))
}

// TestACrowd: many starts at once all succeed, and the engine is given a few at a time.
func TestACrowd(t *testing.T) {
	d := open(t, dockerdriver.Options{})
	const n = 12
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() {
			_, err := d.Start(ctx(t), task(t, fmt.Sprint("i", k), faas.ContractSocket))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	all, err := d.List(ctx(t))
	require.NoError(t, err)
	assert.Len(t, all, n)
}
