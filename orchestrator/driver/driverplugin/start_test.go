//go:build linux

package driverplugin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// TestStartFailures: each is told at once, with what the plugin said, and leaves no process.
func TestStartFailures(t *testing.T) {
	for name, want := range map[string]struct {
		class error
		text  string
	}{
		"junk":           {faas.ErrInvalidArgument, `"Welcome to my driver!"`},
		"exit":           {faas.ErrUnavailable, "exit status 3; its last words: cannot find my configuration"},
		"silent":         {faas.ErrTimeout, "not ready within"},
		"partial":        {faas.ErrTimeout, "not ready within"},
		"huge":           {faas.ErrInvalidArgument, "xxxx"},
		"closes-stdout":  {faas.ErrInvalidArgument, "not a driver plugin"},
		"old-handshake":  {faas.ErrInvalidArgument, "99"},
		"other-cookie":   {faas.ErrUnavailable, "This binary is a plugin"},
		"net-rpc":        {faas.ErrUnavailable, "netrpc"},
		"no-certificate": {faas.ErrUnavailable, ""},
		"fork":           {faas.ErrUnavailable, "child"},
		"panic":          {faas.ErrUnavailable, "the author erred"},
		"nothing":        {faas.ErrUnavailable, "exited with code 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(name)
			o.StartTimeout = 10 * time.Second
			if want.class == faas.ErrTimeout {
				o.StartTimeout = 500 * time.Millisecond
			}
			began := time.Now()
			_, err := Open(ctx(t), self(t), o)
			assert.ErrorIs(t, err, want.class)
			assert.ErrorContains(t, err, want.text)
			assert.ErrorContains(t, err, self(t))
			assert.Less(t, len(fmt.Sprint(err)), 4<<10)
			assert.Less(t, time.Since(began), 9*time.Second, "it is told before StartTimeout where that can be")
			for _, pid := range running(t, "plugin", name) {
				dies(t, pid)
			}
			if name == "fork" {
				for _, pid := range running(t, "plugin", "silent") {
					assert.Equal(t, os.Getpid(), parentOf(pid), "what it has forked is gone")
				}
			}
		})
	}
}

// running are the processes of this program with those arguments.
func running(t *testing.T, args ...string) (pids []int) {
	want := self(t) + "\x00" + strings.Join(args, "\x00") + "\x00"
	procs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, p := range procs {
		if text, err := os.ReadFile(p + "/cmdline"); err == nil && string(text) == want {
			pid, _ := strconv.Atoi(filepath.Base(p))
			pids = append(pids, pid)
		}
	}
	return pids
}

func parentOf(pid int) int {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(text), ") ")
	if f := strings.Fields(after); len(f) > 1 {
		n, _ := strconv.Atoi(f[1])
		return n
	}
	return os.Getpid()
}

func TestTheDriversOwnErrorArrivesWhole(t *testing.T) {
	_, err := Open(ctx(t), self(t), options("denied"))
	e := asError(t, err)
	assert.Equal(t, &faas.Error{Component: "engine", Op: "connect", Key: "/run/engine.sock", Class: faas.ErrDenied, Err: e.Err,
		Next: "join the group", RetryAfter: 7 * time.Second}, e)
	assert.EqualError(t, e.Err, "no permission")
}

func TestFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	good := script("good", "#!/bin/sh\nexit 3\n", 0o755)
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(good, link))
	open := filepath.Join(dir, "open")
	require.NoError(t, os.Mkdir(open, 0o700))
	require.NoError(t, os.Chmod(open, 0o777))
	inOpen := filepath.Join(open, "sub", "plugin")
	require.NoError(t, os.Mkdir(filepath.Dir(inOpen), 0o755))
	require.NoError(t, os.WriteFile(inOpen, []byte("#!/bin/sh\n"), 0o755))
	linkDir := filepath.Join(dir, "linkdir")
	require.NoError(t, os.Symlink(filepath.Dir(inOpen), linkDir))
	for path, want := range map[string]struct {
		class error
		text  string
	}{
		filepath.Join(dir, "missing"):                       {faas.ErrNotFound, "no such file"},
		script("plain", "#!/bin/sh\n", 0o644):               {faas.ErrInvalidArgument, "not executable"},
		script("writable", "#!/bin/sh\n", 0o757):            {faas.ErrDenied, "anybody may write to the file"},
		script("arch", "\x7fELF\x02\x01\x01junk", 0o755):    {faas.ErrInvalidArgument, "exec format error"},
		script("text", "just text\n", 0o755):                {faas.ErrInvalidArgument, "exec format error"},
		script("orphan", "#!/no/such/interpreter\n", 0o755): {faas.ErrInvalidArgument, "interpreter"},
		link:                             {faas.ErrDenied, "symbolic link"},
		inOpen:                           {faas.ErrDenied, "anybody may write to the directory"},
		filepath.Join(linkDir, "plugin"): {faas.ErrDenied, "anybody may write to the directory"},
		dir:                              {faas.ErrInvalidArgument, "not a regular file"},
		"relative":                       {faas.ErrInvalidArgument, "not absolute"},
		good:                             {faas.ErrUnavailable, "exit status 3"},
	} {
		_, err := Open(ctx(t), path, nil)
		assert.ErrorIs(t, err, want.class, path)
		assert.ErrorContains(t, err, want.text, path)
	}
	_, err := Open(ctx(t), good, &Options{SHA256: strings.Repeat("0", 64)})
	assert.ErrorIs(t, err, faas.ErrDenied)
	assert.ErrorContains(t, err, fmt.Sprintf("%x", sha256.Sum256([]byte("#!/bin/sh\nexit 3\n"))))
}

// TestWhatWasCheckedIsExecuted: the file is replaced between the check and the execution.
func TestWhatWasCheckedIsExecuted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	text := []byte("#!/bin/sh\necho the file that was checked\n")
	require.NoError(t, os.WriteFile(path, text, 0o755))
	binary, err := openBinary(path, fmt.Sprintf("%x", sha256.Sum256(text)))
	require.NoError(t, err)
	defer binary.Close()
	swap := path + ".swap"
	require.NoError(t, os.WriteFile(swap, []byte("#!/bin/sh\necho another\n"), 0o755))
	require.NoError(t, os.Rename(swap, path))
	p := newProcess(bareCommand(), binary, path, nil)
	require.NoError(t, p.Start(t.Context()))
	buf := make([]byte, 100)
	n, _ := p.Stdout().Read(buf)
	assert.Equal(t, "the file that was checked\n", string(buf[:n]))
	require.NoError(t, p.Kill(t.Context()))
	<-p.exited
}

func TestOnlyItsEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "1")
	o := options("environment")
	o.Env = append(o.Env, "OWN=2", "FAAS_DRIVER=wrong")
	_, err := Open(ctx(t), self(t), o)
	assert.ErrorContains(t, err, "OWN=2")
	assert.NotContains(t, err.Error(), "SECRET_OF_THE_HOST")
	assert.NotContains(t, err.Error(), "FAAS_DRIVER=wrong", "the protocol's own wins")
}

func TestOptions(t *testing.T) {
	_, err := Open(ctx(t), "x", &Options{Env: []string{"novalue"}, SHA256: "12", StartTimeout: -1, RestartWait: -1, MaxCrashes: -1, CrashWindow: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"path", "Env", "SHA256", "StartTimeout", "RestartWait", "MaxCrashes", "CrashWindow"} {
		assert.ErrorContains(t, err, `"`+field+`"`)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(gone, self(t), options("silent"))
	assert.ErrorIs(t, err, faas.ErrCanceled)
}

// TestVersionSkew: hosts and plugins of several times.
func TestVersionSkew(t *testing.T) {
	dir := shortDir(t)
	for _, c := range []struct {
		host, plugin []int32
		upgrade      string // "": they get on
	}{
		{[]int32{1}, []int32{1}, ""},
		{[]int32{1, 2}, []int32{1}, ""},
		{[]int32{1}, []int32{1, 2}, ""},
		{[]int32{1, 2}, []int32{2, 1}, ""},
		{[]int32{1}, []int32{2}, "host"},
		{[]int32{2}, []int32{1}, "plugin"},
		{[]int32{1}, []int32{0}, "plugin"},
		{[]int32{1}, []int32{99}, "host"},
		{[]int32{1}, nil, "plugin"},
		{[]int32{1}, []int32{-1}, "plugin"},
	} {
		args := []string{"apis", dir}
		for _, a := range c.plugin {
			args = append(args, strconv.Itoa(int(a)))
		}
		p, err := openAPIs(ctx(t), self(t), options(args...), c.host)
		if c.upgrade == "" {
			if assert.NoError(t, err) {
				assert.NoError(t, p.Close())
			}
			continue
		}
		assert.ErrorIs(t, err, faas.ErrUnimplemented)
		var skew *VersionError
		if assert.ErrorAs(t, err, &skew, "%v", c) {
			assert.Equal(t, c.upgrade, skew.Upgrade())
			assert.Equal(t, ints(c.host), skew.Host)
			assert.Equal(t, ints(c.plugin), skew.Plugin)
			assert.Equal(t, "upgrade the "+c.upgrade, asError(t, err).Next)
		}
	}
}
