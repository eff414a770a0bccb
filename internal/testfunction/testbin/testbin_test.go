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

func TestServesInheritedListenerAndDrains(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	f, err := l.(*net.UnixListener).File()
	require.NoError(t, err)
	c := exec.Command(testbin.Build(t))
	c.Env = []string{"LISTEN_FDS=1"}
	c.ExtraFiles = append(c.ExtraFiles, f)
	require.NoError(t, c.Start())
	require.NoError(t, f.Close())

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", l.Addr().String())
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://instance/echo", "text/x-test", strings.NewReader("hello"))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, "text/x-test", resp.Header.Get("Content-Type"))

	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, c.Wait(), "it drains and exits with 0")
	require.NoError(t, l.Close())
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
