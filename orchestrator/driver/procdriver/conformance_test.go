//go:build linux

package procdriver_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/driverplugin/driverplugintest"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

func TestConformance(t *testing.T) {
	contracts := []faas.Contract{faas.ContractInherit, faas.ContractSocket, faas.ContractHTTP, faas.ContractStdio}
	for _, c := range contracts {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, harness(t, c, false))
		})
	}
	t.Run("without-cgroups", func(t *testing.T) {
		t.Parallel()
		drivertest.Run(t, harness(t, faas.ContractInherit, true))
	})
}

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
// Optional powers such as driver.LogSource are found behind it.
func TestConformanceWrapped(t *testing.T) {
	t.Parallel()
	h := harness(t, faas.ContractInherit, false)
	open := h.Open
	h.Open = func(tb testing.TB) driver.Driver { return wrapped{open(tb)} }
	drivertest.Run(t, h)
}

// TestConformancePiped: on the other side of the plugin wire, in this process.
func TestConformancePiped(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, driverplugintest.Piped(harness(t, faas.ContractInherit, false)))
}

// TestConformanceBinary: a plugin, as it is shipped.
func TestConformanceBinary(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, binary(t, faas.ContractInherit))
}

// binary is the harness of the plugin.
func binary(t *testing.T, c faas.Contract) drivertest.Harness {
	dir := shortDir(t)
	h := driverplugintest.Binary(harnessIn(dir, c, false), driverplugintest.Build(t, "./cmd/faas-driver-proc"), pluginOptions(dir))
	crash := h.Crash
	h.Crash = func(tb testing.TB, d driver.Driver) driver.Driver {
		next := crash(tb, d)
		waitForOrphans(tb, dir)
		return next
	}
	var groups []string // of all drivers, found as the test has no hand on them
	h.Leftovers = func(tb testing.TB) []string {
		for _, g := range groupsOf(tb, dir) {
			if !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
		return leftovers(tb, dir, groups)
	}
	return h
}

// waitForOrphans does what process 1 does, for the instances of a dead driver that have become
// children of this process: another test has made it a subreaper.
func waitForOrphans(tb testing.TB, dir string) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(tb, err)
	for _, p := range procs {
		pid := filepath.Base(p)
		if env, _ := os.ReadFile(p + "/environ"); bytes.Contains(env, []byte("="+dir+"/")) && parent(pid) == os.Getpid() {
			n, _ := strconv.Atoi(pid)
			go syscall.Wait4(n, nil, 0, nil)
		}
	}
}

// groupsOf finds the cgroups of the drivers whose directories are in dir now.
func groupsOf(tb testing.TB, dir string) (groups []string) {
	roots, err := filepath.Glob(dir + "/joinery-proc-*")
	require.NoError(tb, err)
	for _, root := range roots {
		suffix := root[strings.LastIndexByte(root, '-'):]
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/", "/sys/fs/cgroup/*/*/", "/sys/fs/cgroup/*/*/*/"} {
			found, err := filepath.Glob(pattern + "joinery-*" + suffix)
			require.NoError(tb, err)
			groups = append(groups, found...)
		}
	}
	return groups
}

func pluginOptions(dir string, args ...string) *driverplugin.Options {
	return &driverplugin.Options{Args: append([]string{"-dir", dir}, args...), Env: []string{"TMPDIR=" + os.TempDir()}}
}

type wrapped struct{ driver.Driver }

func (w wrapped) Unwrap() driver.Driver { return w.Driver }

func harness(t *testing.T, c faas.Contract, noCgroups bool) drivertest.Harness {
	return harnessIn(shortDir(t), c, noCgroups)
}

func harnessIn(dir string, c faas.Contract, noCgroups bool) drivertest.Harness {
	var groups []string // of all drivers
	return drivertest.Harness{
		Open: func(tb testing.TB) driver.Driver {
			d, err := procdriver.New(&procdriver.Options{Dir: dir, NoCgroups: noCgroups})
			require.NoError(tb, err)
			groups = append(groups, d.Groups()...)
			return d
		},
		Task: func(tb testing.TB, b drivertest.Behaviour) driver.Task {
			if c == faas.ContractStdio {
				return stdioBehaviour(tb, b)
			}
			return behaviour(tb, c, b)
		},
		Leftovers: func(tb testing.TB) []string { return leftovers(tb, dir, groups) },
		Limits:    testcall.Limits(limited, cpuBites),
	}
}

func behaviour(tb testing.TB, c faas.Contract, b drivertest.Behaviour) driver.Task {
	t := task(tb, "", c)
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
	}
	return t
}

func stdioBehaviour(tb testing.TB, b drivertest.Behaviour) driver.Task {
	t := stdio(tb, "")
	switch b {
	case drivertest.Missing:
		t.Command = []string{"/no/such/program"}
	case drivertest.Log:
		tb.Skip("stdout of a stdio function is its answer")
	case drivertest.IgnoreTerm, drivertest.NeverReady, drivertest.ExitEarly, drivertest.Exit, drivertest.Crash, drivertest.Descend, drivertest.OutOfMemory:
		tb.Skip("a stdio instance is no process: it neither starts nor ends by itself")
	}
	return t
}

// leftovers are the processes, groups and files of drivers with those groups whose directories are in dir.
func leftovers(tb testing.TB, dir string, groups []string) (left []string) {
	add := func(pattern string) {
		paths, err := filepath.Glob(pattern)
		require.NoError(tb, err)
		left = append(left, paths...)
	}
	add(dir + "/*/*")
	left = slices.DeleteFunc(left, func(path string) bool { return filepath.Base(path) == ".owner" }) // of a driver that lives
	spare := map[string]bool{}                                                                        // each driver may keep one empty directory ready
	left = slices.DeleteFunc(left, func(path string) bool {
		driver := filepath.Dir(path)
		entries, err := os.ReadDir(path)
		if err != nil || len(entries) > 0 || spare[driver] {
			return false
		}
		spare[driver] = true
		return true
	})
	for _, g := range groups {
		add(g + "/*/")
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(tb, err)
	for _, p := range procs {
		pid := filepath.Base(p)
		env, _ := os.ReadFile(p + "/environ")
		if bytes.Contains(env, []byte("="+dir+"/")) && state(pid) != "Z" {
			left = append(left, "process "+pid)
		}
		// A zombie shows no environment, and another driver may have one this moment.
		for end := time.Now().Add(5 * time.Second); state(pid) == "Z" && parent(pid) == os.Getpid(); {
			if time.Now().After(end) {
				left = append(left, "zombie "+pid)
				break
			}
			time.Sleep(time.Millisecond) // nothing tells when another part of this process has reaped it
		}
	}
	return left
}

// state is the letter of proc(5); "" if there is no such process.
func state(pid string) string { return stat(pid, 0) }

func parent(pid string) int {
	n, _ := strconv.Atoi(stat(pid, 1))
	return n
}

func stat(pid string, field int) string {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))[field]
}

// limited starts a task with limits, and a second without that must not be touched.
func limited(tb testing.TB, d driver.Driver, l faas.Resources) driver.Endpoint {
	tb.Helper()
	t := task(tb, "limited", faas.ContractInherit)
	t.Limits = l
	st, err := d.Start(ctx(tb), t)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = d.Stop(ctx(tb), t.ID, 0) })
	return st.Endpoint
}

func cpuBites(tb testing.TB, d driver.Driver) {
	e := limited(tb, d, faas.Resources{MilliCPU: 50})
	pid := testcall.MustGet(tb, e, "/pid")
	began, before := time.Now(), cpuTime(tb, pid)
	testcall.MustGet(tb, e, "/burn?ms=500")
	share := (cpuTime(tb, pid) - before).Seconds() / time.Since(began).Seconds()
	assert.Less(tb, share, 0.2, "of one CPU, with a limit of 0.05")
}

// cpuTime is what the process has used, in the 10 ms ticks of proc(5).
func cpuTime(tb testing.TB, pid string) time.Duration {
	tb.Helper()
	sum := time.Duration(0)
	for _, field := range []int{11, 12} {
		n, err := strconv.Atoi(stat(pid, field))
		require.NoError(tb, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
