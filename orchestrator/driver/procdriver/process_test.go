//go:build linux

package procdriver_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	need "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// shown starts this program to tell what it was given.
func shown(t *testing.T, d *procdriver.Driver, c faas.Contract) []string {
	t.Helper()
	_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: c, Command: []string{self(t), "show"},
		Env: map[string]string{"GREETING": "hello", "LISTEN_FDS": "9"}, Limits: faas.Resources{Files: 50, FileSize: 1 << 20}})
	require.ErrorIs(t, err, faas.ErrFunction)
	_, detail, ok := strings.Cut(err.Error(), "exited with code 3: ")
	require.True(t, ok, err.Error())
	return strings.Split(detail, "\n")
}

func TestWhatAProcessIsGiven(t *testing.T) {
	// A descriptor that this process would pass on, had it been inherited.
	var leak [2]int
	require.NoError(t, unix.Pipe2(leak[:], 0))
	defer unix.Close(leak[0])
	defer unix.Close(leak[1])
	d := open(t, nil)

	for c, want := range map[faas.Contract][]string{
		faas.ContractInherit: {"fd 3 socket", "env LISTEN_FDS=1"},
		faas.ContractSocket:  {"env LISTEN_FDS=9", "env SOCKET="},
		faas.ContractHTTP:    {"env LISTEN_FDS=9", "env PORT="},
	} {
		t.Run(string(c), func(t *testing.T) {
			var got []string
			var home string
			for _, line := range shown(t, d, c) {
				switch {
				case strings.HasPrefix(line, "env HOME="):
					home = strings.TrimPrefix(line, "env HOME=")
					assert.NoDirExists(t, home)
				case strings.HasPrefix(line, "env TMPDIR="):
					assert.Equal(t, "env TMPDIR="+home, line)
				case strings.HasPrefix(line, "env SOCKET="):
					assert.Equal(t, "env SOCKET="+home+"/s", line)
					got = append(got, "env SOCKET=")
				case strings.HasPrefix(line, "env PORT="):
					got = append(got, "env PORT=")
				case strings.HasPrefix(line, "cwd "):
					assert.Equal(t, "cwd "+home+" <nil>", line)
				default:
					got = append(got, line)
				}
			}
			assert.ElementsMatch(t, append(want, "fd 0 /dev/null", "fd 1 pipe", "fd 2 pipe",
				"env GREETING=hello", "env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"leads true true", "Umask: 0022", "Max core file size 0", "Max open files 50", "Max file size 1048576"), got)
		})
	}
}

func TestUmaskAndCoreAreNotInherited(t *testing.T) {
	var core unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &core))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: core.Max, Max: core.Max}))
	old := unix.Umask(0o077)
	defer func() {
		unix.Umask(old)
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_CORE, &core))
	}()
	lines := shown(t, open(t, nil), faas.ContractInherit)
	assert.Contains(t, lines, "Umask: 0022")
	assert.Contains(t, lines, "Max core file size 0")
}

func TestProgramsThatCannotStart(t *testing.T) {
	d := open(t, nil)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	write("text", "neither a script nor a program", 0o755)
	write("locked", "#!/bin/sh\n", 0o644)
	write("orphan", "#!/no/such/interpreter\n", 0o755)
	elf := []byte("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xff\x7f" + strings.Repeat("\x00", 44)) // of no known machine
	write("foreign", string(elf), 0o755)
	for _, c := range []struct {
		why, command string
		class        error
	}{
		{"no format", "./text", faas.ErrInvalidArgument},
		{"not executable", "./locked", faas.ErrInvalidArgument},
		{"no interpreter", "./orphan", faas.ErrNotFound},
		{"another machine", "./foreign", faas.ErrInvalidArgument},
		{"a directory", dir, faas.ErrInvalidArgument},
		{"missing in the code", "./missing", faas.ErrNotFound},
		{"missing in the PATH", "no-such-program", faas.ErrNotFound},
	} {
		for _, contract := range []faas.Contract{faas.ContractInherit, faas.ContractStdio} {
			_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: contract, Dir: dir, Command: []string{c.command}})
			assert.ErrorIs(t, err, c.class, "%s, %s", c.why, contract)
		}
	}
	_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractInherit, Command: []string{"./x"}})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument, "relative without code")
	all, err := d.List(ctx(t))
	require.NoError(t, err)
	assert.Empty(t, all)
}

func TestCommandIsFoundInItsPath(t *testing.T) {
	d := open(t, nil)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(task(t, "", "").Command[0], filepath.Join(dir, "fn")))
	for id, tk := range map[string]driver.Task{
		"path":  {Command: []string{"fn"}, Env: map[string]string{"PATH": "relative:" + dir}},
		"code":  {Command: []string{"./fn"}, Dir: dir},
		"plain": {Command: []string{filepath.Join(dir, "fn")}},
	} {
		tk.ID, tk.Contract = id, faas.ContractInherit
		assert.NotEmpty(t, testcall.MustGet(t, start(t, d, tk).Endpoint, "/pid"))
	}
}

// A program that was written this moment may be "busy" for as long as a child of
// another goroutine has not executed.
func TestProgramsJustWritten(t *testing.T) {
	d := open(t, nil)
	binary, err := os.ReadFile(task(t, "", "").Command[0])
	require.NoError(t, err)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for k := range 4 {
				id := fmt.Sprintf("i-%d-%d", n, k)
				if !assert.NoError(t, os.WriteFile(filepath.Join(dir, id), binary, 0o755)) {
					return
				}
				_, err := d.Start(ctx(t), driver.Task{ID: id, Contract: faas.ContractInherit, Dir: dir, Command: []string{"./" + id}})
				assert.NoError(t, err)
				assert.NoError(t, d.Stop(ctx(t), id, 0))
			}
		})
	}
	wg.Wait()
}

func TestNoDescriptorsLeft(t *testing.T) {
	d := open(t, nil)
	good := task(t, "i1", faas.ContractInherit)
	var old unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	// At any number of free descriptors it starts, or is exhausted and leaves nothing.
	for free := range uint64(24) {
		limit := old
		limit.Cur = uint64(len(fds)) + free
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		_, err := d.Start(ctx(t), good)
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
		if err == nil {
			require.NoError(t, d.Stop(ctx(t), good.ID, 0))
		} else if free == 0 {
			require.ErrorIs(t, err, faas.ErrExhausted)
		} else { // the start or its dialling met the end of descriptors
			assert.True(t, faas.Class(err) == faas.ErrExhausted || faas.Class(err) == faas.ErrTimeout, "%v", err)
		}
	}
	start(t, d, good)
}

// The children of the embedder are its own.
func TestEmbeddersChildren(t *testing.T) {
	d := open(t, &procdriver.Options{NoCgroups: true})
	var cmds []*exec.Cmd
	for n := range 8 {
		c := exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", n+1))
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: n%2 == 0}
		require.NoError(t, c.Start())
		cmds = append(cmds, c)
	}
	for range 3 { // sweeps while those are zombies
		start(t, d, task(t, "i1", faas.ContractInherit))
		require.NoError(t, d.Stop(ctx(t), "i1", 0))
	}
	for n, c := range cmds {
		var exit *exec.ExitError
		require.ErrorAs(t, c.Wait(), &exit)
		assert.Equal(t, n+1, exit.ExitCode())
	}
}

func TestForkBomb(t *testing.T) {
	d := open(t, nil)
	info, err := d.Info(ctx(t))
	require.NoError(t, err)
	need.Engine(t, "cgroup", info.Limits.Pids, "no cgroup to limit processes with")
	tk := task(t, "bomb", faas.ContractInherit)
	tk.Limits.Pids = 64
	st := start(t, d, tk)
	pid := testcall.MustGet(t, st.Endpoint, "/pid")
	_, _ = testcall.Get(t, st.Endpoint, "/fork-bomb?max=1000") // it may not survive that itself
	require.NoError(t, d.Stop(ctx(t), "bomb", 0))
	gone(t, pid)
}

func TestLimitsThatAreMissing(t *testing.T) {
	d := open(t, &procdriver.Options{NoCgroups: true})
	for name, l := range map[string]faas.Resources{"milliCPU": {MilliCPU: 1}, "memory": {Memory: 1 << 30}, "pids": {Pids: 1000}} {
		tk := task(t, "i1", faas.ContractInherit)
		tk.Limits = l
		_, err := d.Start(ctx(t), tk)
		assert.ErrorIs(t, err, faas.ErrUnimplemented)
		assert.ErrorContains(t, err, name)
	}
}

// A process may lock its directory, and make groups of its own.
func TestLockedDirectoriesAreRemoved(t *testing.T) {
	d := open(t, nil)
	st := start(t, d, driver.Task{ID: "i1", Contract: faas.ContractStdio,
		Command: []string{"sh", "-c", "mkdir -p a/b && touch a/b/c && chmod 0 a/b a && echo done"}})
	assert.Equal(t, "done\n", testcall.MustGet(t, st.Endpoint, "/"))
	require.NoError(t, d.Stop(ctx(t), "i1", time.Second))
	assert.NoDirExists(t, filepath.Dir(st.Endpoint.Address))
}

func TestIdleInstancesAreCheap(t *testing.T) {
	d := open(t, nil)
	const n = 5
	before := runtime.NumGoroutine()
	for k := range n {
		start(t, d, task(t, fmt.Sprint("i", k), faas.ContractInherit))
	}
	assert.LessOrEqual(t, runtime.NumGoroutine()-before, 4*n)
}

func TestOptions(t *testing.T) {
	_, err := procdriver.New(&procdriver.Options{Dir: "/tmp/" + strings.Repeat("x", 100), LogKeep: -1, LogRate: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Dir", "LogKeep", "LogRate"} {
		assert.ErrorContains(t, err, field)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = procdriver.New(&procdriver.Options{Dir: file})
	assert.Error(t, err)
}
