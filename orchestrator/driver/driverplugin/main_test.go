//go:build linux

package driverplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
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

// TestMain runs this program as a plugin, good or bad, if it was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		be(os.Args[2], os.Args[3:])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "host" {
		beHost(os.Args[2] == "keep", os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

func proc(dir string) func(context.Context, *slog.Logger) (driver.Driver, error) {
	return func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
		return procdriver.New(&procdriver.Options{Dir: dir, Logger: log})
	}
}

func be(what string, args []string) {
	forever := func() { time.Sleep(time.Hour) }
	switch what {
	case "proc":
		Serve(proc(args[0]))
	case "apis": // of another time
		var apis []int32
		for _, a := range args[1:] {
			n, _ := strconv.Atoi(a)
			apis = append(apis, int32(n))
		}
		serveAPIs(proc(args[0]), apis)
	case "denied":
		Serve(func(context.Context, *slog.Logger) (driver.Driver, error) {
			e := faas.Errorf("engine", "connect", "/run/engine.sock", faas.ErrDenied, "no %s", "permission")
			e.Next, e.RetryAfter = "join the group", 7*time.Second
			return nil, e
		})
	case "panic":
		Serve(func(context.Context, *slog.Logger) (driver.Driver, error) { panic("the author erred") })
	case "hostile":
		beHostile(args[0])
	case "junk":
		fmt.Println("Welcome to my driver!")
		forever()
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my configuration")
		os.Exit(3)
	case "silent":
		forever()
	case "partial":
		fmt.Print("1|1|unix|/tmp/x")
		forever()
	case "huge":
		fmt.Println(strings.Repeat("x", 1<<20))
		forever()
	case "closes-stdout":
		_ = os.Stdout.Close()
		forever()
	case "other-cookie": // a plugin of another product
		other := handshake()
		other.MagicCookieKey = "ANOTHER_PRODUCT"
		plugin.Serve(&plugin.ServeConfig{HandshakeConfig: other, GRPCServer: plugin.DefaultGRPCServer})
	case "old-handshake":
		fmt.Println("1|99|unix|/tmp/x|grpc|")
		forever()
	case "net-rpc":
		fmt.Println("1|1|unix|/tmp/x|netrpc|")
		forever()
	case "no-certificate":
		fmt.Println("1|1|unix|/tmp/no-such-socket|grpc|")
		forever()
	case "fork":
		self, _ := os.Executable()
		c := exec.Command(self, "plugin", "silent")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		_ = c.Start()
		fmt.Fprintln(os.Stderr, "child", c.Process.Pid)
	case "crash": // some time after it is ready
		Serve(func(ctx context.Context, log *slog.Logger) (driver.Driver, error) {
			go func() {
				time.Sleep(500 * time.Millisecond)
				os.Exit(9)
			}()
			return proc(args[0])(ctx, log)
		})
	case "environment":
		fmt.Println(strings.Join(os.Environ(), " "))
	}
}

func self(tb testing.TB) string {
	path, err := os.Executable()
	require.NoError(tb, err)
	return path
}

func options(args ...string) *Options {
	return &Options{Args: append([]string{"plugin"}, args...), Env: []string{"TMPDIR=" + os.TempDir(), "GORACE=atexit_sleep_ms=0"}}
}

func ctx(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	tb.Cleanup(cancel)
	return ctx
}

// shortDir leaves room for the path of a socket, and must be empty in the end.
func shortDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "dp")
	require.NoError(tb, err)
	tb.Cleanup(func() {
		left, err := os.ReadDir(dir)
		assert.NoError(tb, err)
		assert.Empty(tb, left, "files are left")
		assert.NoError(tb, os.RemoveAll(dir))
	})
	return dir
}

func open(tb testing.TB, o *Options) *Plugin {
	p, err := Open(ctx(tb), self(tb), o)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, p.Close()) })
	return p
}

func task(tb testing.TB, id string, args ...string) driver.Task {
	return driver.Task{ID: id, Contract: faas.ContractInherit, Command: append([]string{testbin.Build(tb)}, args...)}
}

func start(tb testing.TB, d driver.Driver, t driver.Task) driver.Status {
	st, err := d.Start(ctx(tb), t)
	require.NoError(tb, err)
	return st
}

// lives reports whether the process runs.
func lives(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

func dies(tb testing.TB, pid int) {
	tb.Helper()
	require.Eventually(tb, func() bool { return !lives(pid) }, limit, time.Millisecond, "process %d lives", pid)
}

func kill(tb testing.TB, pid int, s syscall.Signal) {
	require.NoError(tb, syscall.Kill(pid, s))
}

// replaced waits for another healthy process than old.
func replaced(tb testing.TB, p *Plugin, old int) int {
	tb.Helper()
	var h Health
	require.Eventually(tb, func() bool { h = p.Health(); return h.Healthy && h.PID != old }, limit, time.Millisecond)
	return h.PID
}

func asError(tb testing.TB, err error) *faas.Error {
	tb.Helper()
	var e *faas.Error
	require.True(tb, errors.As(err, &e), "%v", err)
	return e
}

func bareCommand() *exec.Cmd { return exec.Command("") }

// beHost is a platform with one plugin and one task, which is about to die.
func beHost(keep bool, dir string) {
	o := options("proc", dir)
	o.KeepInstances = keep
	path, _ := os.Executable()
	p, err := Open(context.Background(), path, o)
	if err == nil {
		bin, _ := testbin.Path()
		_, err = p.Recover(context.Background(), "host", nil)
		if err == nil {
			_, err = p.Start(context.Background(), driver.Task{ID: "i1", Contract: faas.ContractSocket, Command: []string{bin}})
		}
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	h, _ := p.Handle(context.Background(), "i1")
	fmt.Printf("%d\n%s\n", p.Health().PID, h.State)
	time.Sleep(time.Hour)
}
