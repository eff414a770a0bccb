//go:build unix

package tool

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sh(script string) *Cmd {
	return &Cmd{Op: "test", Path: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: Environ(map[string]string{"PATH": "/usr/bin:/bin"})}
}

func TestOutput(t *testing.T) {
	t.Setenv("INHERITED", "1")
	var out, log bytes.Buffer
	c := sh(`cat; echo "[$INHERITED]"; echo err >&2`)
	c.Stdin, c.Stdout, c.Log = strings.NewReader("in "), &out, &log
	require.NoError(t, c.Run(t.Context()))
	assert.Equal(t, "in []\n", out.String(), "nothing is inherited")
	assert.Equal(t, "err\n", log.String())

	out.Reset()
	c = sh("echo out; echo err >&2")
	c.Log = &out
	require.NoError(t, c.Run(t.Context()))
	assert.Equal(t, "out\nerr\n", out.String(), "in one order")
}

func TestErrors(t *testing.T) {
	err := sh("echo what is wrong; exit 3").Run(t.Context())
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "what is wrong")

	err = sh("exit 3").Run(t.Context())
	assert.ErrorContains(t, err, "exit status 3")

	err = sh("yes flood | head -c 1000000; echo the end; exit 1").Run(t.Context())
	assert.Less(t, len(err.Error()), maxError+200)
	assert.ErrorContains(t, err, "the end")
	assert.ErrorContains(t, err, "bytes more in the build log")

	require.ErrorIs(t, sh("kill -9 $$").Run(t.Context()), faas.ErrUnavailable)
	require.ErrorIs(t, (&Cmd{Path: "/does/not/exist"}).Run(t.Context()), faas.ErrUnimplemented)
	require.ErrorIs(t, (&Cmd{Path: "/etc/passwd"}).Run(t.Context()), faas.ErrInternal)
}

func TestOutputIsStreamed(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	c := sh(`echo first; while ! [ -e "` + gate + `" ]; do sleep 0.01; done`)
	c.Log = writerFunc(func(p []byte) (int, error) {
		return len(p), os.WriteFile(gate, nil, 0o600) // the tool ends only when its first line has been seen
	})
	require.NoError(t, c.Run(t.Context()))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

func TestNothingIsLeft(t *testing.T) {
	for name, script := range map[string]string{
		"cancelled":           "sleep 60 & echo $!; sleep 60",
		"ended":               "sleep 60 >/dev/null 2>&1 & echo $!",
		"failed":              "sleep 60 >/dev/null 2>&1 & echo $!; exit 1",
		"ignores the signals": "trap '' TERM INT HUP; sleep 60 & echo $!; while :; do sleep 1; done",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var pid int
			c := sh(script)
			c.Stdout = writerFunc(func(p []byte) (n int, err error) {
				pid, err = strconv.Atoi(strings.TrimSpace(string(p)))
				if name != "ended" && name != "failed" {
					cancel()
				}
				return len(p), err
			})
			begin := time.Now()
			err := c.Run(ctx)
			switch name {
			case "ended":
				require.NoError(t, err)
			case "failed":
				require.ErrorIs(t, err, faas.ErrInvalidArgument)
			default:
				require.ErrorIs(t, err, faas.ErrCanceled)
			}
			assert.Less(t, time.Since(begin), 30*time.Second)
			require.NotZero(t, pid)
			assert.False(t, alive(pid), "a process of the tool's is left")
		})
	}
}

func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := sh("sleep 60")
	c.Log = io.Discard
	require.ErrorIs(t, c.Run(ctx), faas.ErrTimeout)
	require.ErrorIs(t, c.Run(ctx), faas.ErrTimeout, "nor does it begin")
}

func TestEnviron(t *testing.T) {
	assert.ElementsMatch(t, []string{"A=2", "B=1"}, Environ(map[string]string{"A": "1", "B": "1"}, nil, map[string]string{"A": "2"}))
}
