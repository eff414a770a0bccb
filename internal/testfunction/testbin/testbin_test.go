package testbin_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/internal/testfunction/testbin"
)

// serve starts the function on an inherited listener and returns it with a client of its own.
func serve(t *testing.T, args ...string) (*exec.Cmd, *http.Client) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	f, err := l.(*net.UnixListener).File()
	require.NoError(t, err)
	c := exec.Command(testbin.Build(t), args...)
	c.Env = []string{"LISTEN_FDS=1"}
	c.ExtraFiles = append(c.ExtraFiles, f)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	require.NoError(t, f.Close())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", l.Addr().String())
		}}}
	return c, client
}

func TestServesInheritedListenerAndDrains(t *testing.T) {
	c, client := serve(t)
	resp, err := client.Post("http://instance/echo", "text/x-test", strings.NewReader("hello"))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "text/x-test", resp.Header.Get("Content-Type"))
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, c.Wait(), "it drains and exits with 0")
}

func TestMisbehaves(t *testing.T) {
	for path, want := range map[string]struct {
		answers bool // a response, though broken
		ended   string
	}{
		"/exit?code=7":      {ended: "exit status 7"},
		"/crash":            {ended: "signal: killed"},
		"/die-mid-response": {answers: true, ended: "exit status 1"},
		"/garbage":          {},
	} {
		c, client := serve(t)
		resp, err := client.Get("http://instance" + path)
		if want.answers {
			require.NoError(t, err, path)
			body, err := io.ReadAll(resp.Body)
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF, path)
			assert.Equal(t, "ten bytes.", string(body), path)
			require.NoError(t, resp.Body.Close())
		} else {
			assert.Error(t, err, path)
		}
		if want.ended != "" {
			assert.EqualError(t, c.Wait(), want.ended, path)
		}
	}
}

func TestExitsEarly(t *testing.T) {
	c, _ := serve(t, "exit-early", "3")
	assert.EqualError(t, c.Wait(), "exit status 3")
}

func TestStdio(t *testing.T) {
	c := exec.Command(testbin.Build(t), "stdio", "3")
	c.Stdin = strings.NewReader("in")
	out, err := c.Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.ExitCode())
	assert.Equal(t, "in", string(out))
}
