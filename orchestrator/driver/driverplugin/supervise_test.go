//go:build linux

package driverplugin

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// call calls an instance over a connection of its own.
func call(tb testing.TB, e driver.Endpoint) error {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, e.Network, e.Address)
	}}
	c := http.Client{Transport: tr, Timeout: limit}
	resp, err := c.Get("http://instance/pid")
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// watched counts what Watch says of each task.
func watched(tb testing.TB, d driver.Driver) (next func() driver.Status) {
	seen := make(chan driver.Status, 1000)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for st, err := range d.Watch(ctx) {
			if err == nil {
				seen <- st
			}
		}
	}()
	tb.Cleanup(func() { cancel(); <-done })
	return func() driver.Status {
		select {
		case st := <-seen:
			return st
		case <-time.After(limit):
			tb.Fatal("Watch says nothing")
		}
		return driver.Status{}
	}
}

// TestKilledPlugins: the instances serve on and are adopted; nobody who calls them or watches notices.
func TestKilledPlugins(t *testing.T) {
	t.Parallel()
	o := options("proc", shortDir(t))
	o.MaxCrashes, o.RestartWait = 1000, limit
	p := open(t, o)
	next := watched(t, p)
	a, b := start(t, p, task(t, "a")), start(t, p, task(t, "b"))
	assert.Equal(t, []string{"a", "b"}, []string{next().ID, next().ID})
	var failed atomic.Int64
	stop := make(chan struct{})
	load := make(chan struct{})
	go func() {
		defer close(load)
		for {
			select {
			case <-stop:
				return
			default:
				if call(t, a.Endpoint) != nil {
					failed.Add(1)
				}
			}
		}
	}()
	for range 3 {
		pid := p.Health().PID
		kill(t, pid, syscall.SIGKILL)
		all, err := p.List(ctx(t))
		require.NoError(t, err, "List does not need the plugin")
		assert.Len(t, all, 2)
		replaced(t, p, pid)
		dies(t, pid)
	}
	close(stop)
	<-load
	assert.Zero(t, failed.Load())
	assert.Equal(t, 3, p.Health().Restarts)
	all, err := p.List(ctx(t))
	require.NoError(t, err)
	assert.ElementsMatch(t, []driver.Status{a, b}, all, "nothing has changed")

	pid := p.Health().PID
	kill(t, pid, syscall.SIGKILL)
	require.Eventually(t, func() bool { return p.Health().PID != pid }, limit, time.Millisecond)
	c := start(t, p, task(t, "c")) // waits for the new one
	assert.Equal(t, "c", next().ID)
	kill(t, p.Health().PID, syscall.SIGKILL)
	require.NoError(t, p.Stop(ctx(t), "b", 0), "waits too")
	assert.Error(t, call(t, b.Endpoint))
	assert.Equal(t, driver.StateGone, next().State)
	_ = call(t, driver.Endpoint{Network: c.Endpoint.Network, Address: c.Endpoint.Address})
	pid = p.Health().PID
	kill(t, pid, syscall.SIGKILL)
	require.Eventually(t, func() bool { return p.Health().PID != pid }, limit, time.Millisecond)
	for _, err := range p.Logs(ctx(t), "c", driver.LogOptions{}) {
		require.NoError(t, err)
	}
}

// TestStartsThatLoseTheirPlugin fail and leave nothing.
func TestStartsThatLoseTheirPlugin(t *testing.T) {
	t.Parallel()
	p := open(t, options("proc", shortDir(t)))
	start(t, p, task(t, "before"))
	pid := p.Health().PID
	failed := make(chan error, 1)
	never := task(t, "never", "never-ready")
	go func() {
		_, err := p.Start(ctx(t), never)
		failed <- err
	}()
	require.Eventually(t, func() bool { return len(runningAs(t, never.Command)) > 0 }, limit, time.Millisecond)
	kill(t, pid, syscall.SIGKILL)
	err := <-failed
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.Empty(t, runningAs(t, never.Command), "it was removed as a stray")
	start(t, p, task(t, "never"))
}

// TestACancelledFirstStart does not spoil the next: the plugin is told its owner once, and whole.
func TestACancelledFirstStart(t *testing.T) {
	t.Parallel()
	p := open(t, options("proc", shortDir(t)))
	for _, soon := range []time.Duration{1, 100 * time.Microsecond, time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		_, err := p.Start(ctx, task(t, "i1"))
		assert.ErrorIs(t, err, faas.ErrTimeout)
		cancel()
	}
	start(t, p, task(t, "i1"))
}

// runningAs are the processes with that command line.
func runningAs(t *testing.T, command []string) (pids []int) {
	dirs, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, d := range dirs {
		text, err := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		if err == nil && string(text) == strings.Join(command, "\x00")+"\x00" {
			pid, _ := strconv.Atoi(d.Name())
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestHungPlugin: calls end with their own deadlines, and the process is killed and replaced.
func TestHungPlugin(t *testing.T) {
	t.Parallel()
	p := open(t, options("proc", shortDir(t)))
	st := start(t, p, task(t, "i1"))
	pid := p.Health().PID
	kill(t, pid, syscall.SIGSTOP)
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := p.Start(soon, task(t, "i2"))
	assert.ErrorIs(t, err, faas.ErrTimeout)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, p.Stop(soon, "i1", 0), faas.ErrTimeout)
	assert.NoError(t, call(t, st.Endpoint))
	require.Eventually(t, func() bool { return !p.Health().Healthy }, limit, time.Millisecond)
	replaced(t, p, pid)
	assert.False(t, lives(pid))
	assert.NoError(t, call(t, st.Endpoint))
	start(t, p, task(t, "i2"))
}

// TestCloseOfAHungPlugin stops its tasks all the same.
func TestCloseOfAHungPlugin(t *testing.T) {
	t.Parallel()
	p := open(t, options("proc", shortDir(t)))
	st := start(t, p, task(t, "i1"))
	pid := p.Health().PID
	kill(t, pid, syscall.SIGSTOP)
	require.NoError(t, p.Close())
	assert.False(t, lives(pid))
	assert.Error(t, call(t, st.Endpoint))
}

// TestCrashLoop: restarts get rarer and the circuit opens; calls fail at once then, and say when to come again.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	o := options("crash", dir)
	o.MaxCrashes = 3
	p := open(t, o)
	var err error
	require.Eventually(t, func() bool {
		_, err = p.Stats(ctx(t), "i1")
		h := p.Health()
		return h.PID == 0 && time.Until(h.NextStart) > 10*time.Second
	}, limit, time.Millisecond)
	began := time.Now()
	_, err = p.Start(ctx(t), task(t, "i1"))
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.ErrorContains(t, err, "exit status 9")
	assert.Greater(t, asError(t, err).RetryAfter, time.Second)
	assert.Less(t, time.Since(began), o.RestartWait+DefaultRestartWait)
	assert.ErrorContains(t, p.Health().Err, "exit status 9")
	_, err = p.List(ctx(t))
	assert.NoError(t, err)
	assert.NoError(t, p.Close())
	tidy := open(t, options("proc", dir))
	start(t, tidy, task(t, "i1")) // removes what the others have left
}

// TestHostDies: its plugin ends, and so do the instances, unless they are to be kept.
func TestHostDies(t *testing.T) {
	t.Parallel()
	for _, keep := range []string{"end", "keep"} {
		t.Run(keep, func(t *testing.T) {
			dir := shortDir(t)
			host := exec.Command(self(t), "host", keep, dir)
			out, err := host.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, host.Start())
			lines := bufio.NewScanner(out)
			require.True(t, lines.Scan())
			pid, err := strconv.Atoi(lines.Text())
			require.NoError(t, err, lines.Text())
			require.True(t, lines.Scan())
			h := driver.Handle{ID: "i1", Driver: "proc", Format: 1, State: []byte(lines.Text())}
			require.NoError(t, host.Process.Kill())
			_ = host.Wait()
			dies(t, pid)
			if keep == "end" {
				return // shortDir checks that nothing is left
			}
			p := open(t, options("proc", dir))
			found, err := p.Recover(ctx(t), "host", []driver.Handle{h})
			require.NoError(t, err)
			assert.Equal(t, []string{"i1"}, found.Adopted)
			all, err := p.List(ctx(t))
			require.NoError(t, err)
			require.Len(t, all, 1)
			assert.NoError(t, call(t, all[0].Endpoint))
			_, err = p.Recover(ctx(t), "host", nil)
			assert.ErrorIs(t, err, faas.ErrConflict)
		})
	}
}

// TestEndsOfAdoptedTasks are seen, also those that came while there was no plugin.
func TestEndsOfAdoptedTasks(t *testing.T) {
	t.Parallel()
	p := open(t, options("proc", shortDir(t)))
	next := watched(t, p)
	a := start(t, p, task(t, "a"))
	next()
	pid := p.Health().PID
	kill(t, pid, syscall.SIGSTOP) // it sees nothing any more
	instance := pidOf(t, a.Endpoint)
	kill(t, instance, syscall.SIGKILL)
	kill(t, pid, syscall.SIGKILL)
	st := next()
	assert.Equal(t, driver.StateEnded, st.State)
	assert.Contains(t, []driver.ExitReason{driver.ExitLost, driver.ExitSignaled}, st.Exit.Reason)
	require.NoError(t, p.Stop(ctx(t), "a", 0))
	assert.Equal(t, driver.StateGone, next().State)
	assert.ErrorIs(t, p.Stop(ctx(t), "a", 0), faas.ErrNotFound)
}

func pidOf(t *testing.T, e driver.Endpoint) int {
	conn, err := net.Dial(e.Network, e.Address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	var text [20]byte
	n, _ := resp.Body.Read(text[:])
	pid, err := strconv.Atoi(string(text[:n]))
	require.NoError(t, err)
	return pid
}
