//go:build linux

package procdriver_test

import (
	"encoding/json"
	"os"
	"path/filepath"
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
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// former is a driver in a process of its own, which is about to die.
func former(t *testing.T, dir, owner string, args ...string) *driverplugin.Plugin {
	o := pluginOptions(dir, args...)
	o.KeepInstances = true
	p, err := driverplugin.Open(ctx(t), driverplugintest.Build(t, "./cmd/faas-driver-proc"), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	_, err = p.Recover(ctx(t), owner, nil)
	require.NoError(t, err)
	return p
}

func handle(t *testing.T, d driver.Recoverer, id string) driver.Handle {
	h, err := d.Handle(ctx(t), id)
	require.NoError(t, err)
	assert.Equal(t, id, h.ID)
	return h
}

func begin(t *testing.T, d driver.Driver, task driver.Task) driver.Status {
	st, err := d.Start(ctx(t), task)
	require.NoError(t, err)
	return st
}

// successor opens a driver in this process over what is left.
func successor(t *testing.T, dir, owner string, noCgroups bool, known ...driver.Handle) (*procdriver.Driver, driver.Recovery) {
	d, err := procdriver.New(&procdriver.Options{Dir: dir, NoCgroups: noCgroups})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, d.Close())
		left, err := os.ReadDir(dir)
		assert.NoError(t, err)
		assert.Empty(t, left, "files are left")
	})
	found, err := d.Recover(ctx(t), owner, known)
	require.NoError(t, err)
	return d, found
}

func status(t *testing.T, d driver.Driver, id string) driver.Status {
	all, err := d.List(ctx(t))
	require.NoError(t, err)
	for _, st := range all {
		if st.ID == id {
			return st
		}
	}
	return driver.Status{}
}

func ended(t *testing.T, d driver.Driver, id string) *driver.Exit {
	for st, err := range d.Watch(ctx(t)) {
		require.NoError(t, err)
		if st.ID == id && st.State == driver.StateEnded {
			return st.Exit
		}
	}
	return nil
}

func TestAdoption(t *testing.T) {
	for name, args := range map[string][]string{"cgroups": nil, "without-cgroups": {"-no-cgroups"}} {
		t.Run(name, func(t *testing.T) { adoption(t, args) })
	}
}

func adoption(t *testing.T, args []string) {
	dir := shortDir(t)
	p := former(t, dir, "me", args...)
	var before []driver.Status
	var known []driver.Handle
	var pids []string
	for i, c := range []faas.Contract{faas.ContractInherit, faas.ContractSocket, faas.ContractHTTP} {
		k := task(t, "kept-"+strconv.Itoa(i), c)
		k.Labels = map[string]string{"a": "b"}
		st := begin(t, p, k)
		before, known = append(before, st), append(known, handle(t, p, k.ID))
		pids = append(pids, testcall.MustGet(t, st.Endpoint, "/pid"))
	}
	stray := testcall.MustGet(t, begin(t, p, task(t, "stray", faas.ContractInherit)).Endpoint, "/pid")
	calls := begin(t, p, stdio(t, "calls"))
	known = append(known, handle(t, p, "calls"))
	lostID := begin(t, p, task(t, "lost", faas.ContractInherit))
	known = append(known, handle(t, p, "lost"))
	mustPID, err := strconv.Atoi(testcall.MustGet(t, lostID.Endpoint, "/pid"))
	require.NoError(t, err)
	require.NoError(t, p.Detach())
	waitForOrphans(t, dir)
	assert.Equal(t, pids[0], testcall.MustGet(t, before[0].Endpoint, "/pid"), "it serves without a driver")
	testcall.MustGet(t, before[0].Endpoint, "/log?stream=stdout&text=between")
	require.NoError(t, syscall.Kill(mustPID, syscall.SIGKILL))
	gone(t, strconv.Itoa(mustPID))

	damaged := known[0]
	damaged.ID, damaged.State = "damaged", []byte(`{"dir":"/etc"}`)
	newer := known[0]
	newer.ID, newer.Format = "newer", 99
	d, found := successor(t, dir, "me", len(args) > 0, append(known, damaged, newer)...)
	assert.Subset(t, found.Adopted, []string{"kept-0", "kept-1", "kept-2", "calls"})
	assert.NotEmpty(t, found.Strays)
	why := map[string]error{}
	for _, l := range found.Lost {
		why[l.ID] = l.Err
	}
	assert.Len(t, why, 7-len(found.Adopted))
	if why["lost"] != nil {
		assert.ErrorIs(t, why["lost"], faas.ErrNotFound)
	} else { // its new parent has not waited for it yet: it could still tell how it ended
		assert.Equal(t, "SIGKILL", ended(t, d, "lost").Signal)
	}
	assert.ErrorIs(t, why["damaged"], faas.ErrCorrupt)
	assert.ErrorIs(t, why["newer"], faas.ErrUnimplemented)
	gone(t, stray)

	for i, st := range before {
		now := status(t, d, st.ID)
		assert.True(t, now.Started.Equal(st.Started) && now.Ready.Equal(st.Ready))
		assert.Equal(t, st.Endpoint, now.Endpoint)
		assert.Equal(t, st.Labels, now.Labels)
		assert.Equal(t, driver.StateRunning, now.State)
		assert.Equal(t, pids[i], testcall.MustGet(t, now.Endpoint, "/pid"))
		assert.Equal(t, known[i], handle(t, d, st.ID))
	}
	assert.Contains(t, testcall.MustGet(t, calls.Endpoint, "/env"), "HOME", "a stdio instance is served again")
	testcall.MustGet(t, before[0].Endpoint, "/log?stream=stderr&text=after")
	require.Eventually(t, func() bool {
		var text []string
		for l, err := range d.Logs(ctx(t), "kept-0", driver.LogOptions{}) {
			require.NoError(t, err)
			text = append(text, l.Stream+" "+l.Text)
		}
		all := strings.Join(text, "\n")
		return strings.Contains(all, "stdout between") && strings.Contains(all, "stderr after")
	}, limit, time.Millisecond, "what it wrote meanwhile and since is in the log")

	_, _ = testcall.Get(t, before[1].Endpoint, "/exit?code=7")
	if exit := ended(t, d, "kept-1"); exit.Reason != driver.ExitLost { // kernels before 6.15 may not tell
		assert.Equal(t, driver.ExitExited, exit.Reason)
		assert.Equal(t, 7, exit.Code)
	}
	require.NoError(t, d.Stop(ctx(t), "kept-1", 0))
	require.NoError(t, d.Stop(ctx(t), "kept-0", limit))
	gone(t, pids[0])
	_, err = d.Recover(ctx(t), "me", nil)
	assert.ErrorIs(t, err, faas.ErrConflict)
}

// TestOthersAreLeftAlone: those of another owner, of nobody, and of a driver that lives.
func TestOthersAreLeftAlone(t *testing.T) {
	dir := shortDir(t)
	alive := former(t, dir, "alive")
	living := begin(t, alive, task(t, "i1", faas.ContractInherit))
	h := handle(t, alive, "i1")
	dead := former(t, dir, "other")
	others := begin(t, dead, task(t, "i2", faas.ContractInherit))
	h2 := handle(t, dead, "i2")
	require.NoError(t, dead.Detach())
	waitForOrphans(t, dir)

	d, err := procdriver.New(&procdriver.Options{Dir: dir})
	require.NoError(t, err)
	defer d.Close()
	found, err := d.Recover(ctx(t), "alive", []driver.Handle{h, h2})
	require.NoError(t, err)
	assert.Empty(t, found.Adopted)
	assert.Empty(t, found.Strays)
	for _, l := range found.Lost {
		assert.ErrorIs(t, l.Err, faas.ErrConflict)
	}
	testcall.MustGet(t, living.Endpoint, "/pid")
	pid := testcall.MustGet(t, others.Endpoint, "/pid")
	require.NoError(t, d.Close())

	next, found := former(t, dir, "third"), driver.Recovery{}
	require.NoError(t, next.Close())
	testcall.MustGet(t, others.Endpoint, "/pid")
	require.NoError(t, alive.Close())
	_, found = successor(t, dir, "other", false, h2)
	assert.Equal(t, []string{"i2"}, found.Adopted)
	assert.Equal(t, pid, testcall.MustGet(t, others.Endpoint, "/pid"))
}

func TestRecoverRefuses(t *testing.T) {
	d := open(t, nil)
	_, err := d.Recover(ctx(t), "Not a name", nil)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = d.Recover(ctx(t), "me", []driver.Handle{{ID: "a"}, {ID: "a"}})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = d.Handle(ctx(t), "none")
	assert.ErrorIs(t, err, faas.ErrNotFound)
	start(t, d, task(t, "i1", faas.ContractInherit))
	_, err = d.Recover(ctx(t), "me", nil)
	assert.ErrorIs(t, err, faas.ErrConflict)
	require.NoError(t, d.Close())
	_, err = d.Recover(ctx(t), "me", nil)
	assert.ErrorIs(t, err, faas.ErrClosed)
	_, err = d.Handle(ctx(t), "i1")
	assert.ErrorIs(t, err, faas.ErrClosed)
}

// TestHandlesThatLie: a handle may come from a damaged store; whatever it says, nothing is killed or removed by it.
func TestHandlesThatLie(t *testing.T) {
	dir := shortDir(t)
	victim := filepath.Join(dir, "joinery-proc-1", "1")
	require.NoError(t, os.MkdirAll(victim, 0o700))
	lie := func(change string, to any) []byte {
		s := map[string]any{"boot": "x", "dir": victim, "contract": "http", "endpoint": map[string]string{"network": "tcp", "address": "127.0.0.1:1"},
			"pid": os.Getpid(), "start": 1}
		s[change] = to
		data, err := json.Marshal(s)
		require.NoError(t, err)
		return data
	}
	for i, state := range [][]byte{lie("a", 1), lie("dir", "/etc"), lie("dir", dir+"/joinery-proc-1/../../1"), lie("dir", victim+"/.."),
		lie("pid", 1), lie("pid", -1), lie("contract", "stdio"), lie("endpoint", 7), lie("exit", map[string]any{"reason": "exited"}), nil, []byte("null")} {
		d, err := procdriver.New(&procdriver.Options{Dir: dir, NoCgroups: true})
		require.NoError(t, err)
		found, err := d.Recover(t.Context(), "me", []driver.Handle{{ID: "i1", Driver: "proc", Format: 1, State: state}})
		require.NoError(t, err)
		assert.Empty(t, found.Adopted, "%d", i)
		require.Len(t, found.Lost, 1)
		assert.Error(t, found.Lost[0].Err)
		assert.DirExists(t, victim)
		assert.NoError(t, d.Close())
	}
}

// FuzzHandle: a state that is read names a private directory and a process, or how to make one.
func FuzzHandle(f *testing.F) {
	f.Add(1, []byte(`{"dir":"/tmp/joinery-proc-1/1","contract":"http","endpoint":{"network":"tcp","address":"a"},"pid":2,"start":1}`))
	f.Add(1, []byte(`{"dir":"/etc"}`))
	f.Add(0, []byte(nil))
	f.Fuzz(func(t *testing.T, format int, state []byte) {
		dir, pid, ok := procdriver.Decode(format, state)
		if !ok {
			return
		}
		assert.True(t, strings.HasPrefix(filepath.Base(filepath.Dir(dir)), "joinery-proc-"))
		assert.Equal(t, filepath.Clean(dir), dir)
		assert.NotEqual(t, 1, pid)
		assert.GreaterOrEqual(t, pid, 0)
	})
}
