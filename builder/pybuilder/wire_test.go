package pybuilder_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder/internal/instance"
)

var echo = map[string]string{"main.py": "def handle(event, context):\n    return bytes(event) if not isinstance(event, str) else event\n"}

// raw sends bytes over a connection of its own and returns all that comes back.
func raw(tb testing.TB, in *instance.Instance, data string) string {
	tb.Helper()
	c, err := net.Dial(in.Network, in.Address)
	require.NoError(tb, err)
	defer c.Close()
	require.NoError(tb, c.SetDeadline(time.Now().Add(30*time.Second)))
	_, _ = io.WriteString(c, data)
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func TestHTTP(t *testing.T) {
	in := start(t, echo)
	const post = "POST / HTTP/1.1\r\nHost: f\r\n"
	for name, c := range map[string]struct{ data, want string }{
		"length":             {post + "Content-Length: 3\r\n\r\nabc", "200 OK"},
		"chunked":            {post + "Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", "\r\n\r\nabc"},
		"no body":            {"GET / HTTP/1.1\r\nHost: f\r\n\r\n", "200 OK"},
		"HTTP/1.0":           {"GET / HTTP/1.0\r\n\r\n", "Connection: close"},
		"ready":              {"OPTIONS * HTTP/1.1\r\nHost: f\r\n\r\n", "200 OK"},
		"star for others":    {"GET * HTTP/1.1\r\nHost: f\r\n\r\n", "400 Bad"},
		"empty lines before": {"\r\n\r\nGET / HTTP/1.1\r\nHost: f\r\n\r\n", "200 OK"},
		"continue":           {post + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "200 OK"},
		"CL and TE":          {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 "},
		"two lengths":        {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400 "},
		"negative length":    {post + "Content-Length: -3\r\n\r\nabc", "400 "},
		"plus length":        {post + "Content-Length: +3\r\n\r\nabc", "400 "},
		"too long":           {post + "Content-Length: 99999999999\r\n\r\nabc", "413 "},
		"other coding":       {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", "501 "},
		"xchunked":           {post + "Transfer-Encoding: xchunked\r\n\r\n", "501 "},
		"bad chunk":          {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "400 "},
		"chunk overflow":     {post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "400 "},
		"chunk too long":     {post + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "400 "},
		"space before colon": {post + "X : 1\r\n\r\n", "400 "},
		"folded line":        {post + "X: 1\r\n 2\r\n\r\n", "400 "},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", "400 "},
		"two hosts":          {post + "Host: g\r\n\r\n", "400 "},
		"bare CR":            {post + "X: a\rb\r\n\r\n", "400 "},
		"NUL":                {post + "X: a\x00b\r\n\r\n", "400 "},
		"no target":          {"GET HTTP/1.1\r\nHost: f\r\n\r\n", "400 "},
		"two spaces":         {"GET  / HTTP/1.1\r\nHost: f\r\n\r\n", "400 "},
		"HTTP/2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 "},
		"huge head":          {post + "X: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431 "},
		"endless head":       {post + strings.Repeat("x", 200<<10), "431 "},
	} {
		assert.Contains(t, raw(t, in, c.data), c.want, name)
	}
	assert.Empty(t, raw(t, in, post+"Content-Length: 10\r\n\r\nabc"), "a request that is cut short is never run")
	assert.Empty(t, raw(t, in, "GET / HT"))

	head := raw(t, in, "HEAD / HTTP/1.1\r\nHost: f\r\n\r\n")
	assert.True(t, strings.HasSuffix(head, "\r\n\r\n"), head)

	pipelined := raw(t, in, post+"Content-Length: 1\r\n\r\na"+post+"Content-Length: 1\r\n\r\nb"+post+"Connection: close\r\nContent-Length: 1\r\n\r\nc"+post+"\r\n")
	assert.Equal(t, 3, strings.Count(pipelined, "200 OK"), "requests on one connection are answered in turn, until it is to close")

	status, answer, err := in.Post(t.Context(), "application/octet-stream", strings.Repeat("x", 3<<20))
	require.NoError(t, err)
	assert.Equal(t, 200, status)
	assert.Len(t, answer, 3<<20)
}

func TestExpectContinueIsAnsweredFirst(t *testing.T) {
	in := start(t, echo)
	c, err := net.Dial(in.Network, in.Address)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: f\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, 100, resp.StatusCode)
	_, err = io.WriteString(c, "abc")
	require.NoError(t, err)
	resp, err = http.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
}

// Two calls that wait for each other can only both answer when they run at the same time.
func TestCallsRunAtTheSameTime(t *testing.T) {
	in := start(t, map[string]string{"main.py": `
import threading

meet = threading.Barrier(2)

def handle(event, context):
    return str(meet.wait(30))
`})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			status, answer, err := in.Post(t.Context(), "", "")
			assert.NoError(t, err)
			assert.Equal(t, 200, status, answer)
		})
	}
	wg.Wait()
}

func TestTerminateDrains(t *testing.T) {
	for _, contract := range []faas.Contract{faas.ContractInherit, faas.ContractSocket, faas.ContractHTTP} {
		t.Run(string(contract), func(t *testing.T) {
			gate := filepath.Join(t.TempDir(), "gate")
			dir, a, err := build(t, newBuilder(t, nil), map[string]string{"main.py": `
import atexit, os, time

atexit.register(print, "cleaned up")

def handle(event, context):
    print("running")
    while not os.path.exists(event):
        time.sleep(0.005)
    return "done"
`})
			require.NoError(t, err)
			a.Contract = contract
			in := instance.Start(t, dir, a)
			answered := make(chan string, 1)
			go func() {
				_, answer, err := in.Post(context.WithoutCancel(t.Context()), "text/plain", gate)
				if err != nil {
					answer = err.Error()
				}
				answered <- answer
			}()
			require.Eventually(t, func() bool { return strings.Contains(in.Output(), "running") }, 30*time.Second, time.Millisecond)
			require.NoError(t, in.Terminate())
			if contract != faas.ContractInherit { // an inherited socket stays open in the platform
				require.Eventually(t, func() bool {
					c, err := net.Dial(in.Network, in.Address)
					if err == nil {
						_ = c.Close()
					}
					return err != nil
				}, 30*time.Second, time.Millisecond, "new connections are refused")
			}
			require.NoError(t, os.WriteFile(gate, nil, 0o600))
			assert.Equal(t, "done", <-answered)
			<-in.Exited()
			require.NoError(t, in.Err())
			assert.Contains(t, in.Output(), "cleaned up")
		})
	}
}

func TestImportErrorEndsTheInstance(t *testing.T) {
	dir, a, err := build(t, newBuilder(t, nil), map[string]string{"main.py": "import nowhere\ndef handle(e, c): pass\n"})
	require.NoError(t, err)
	out, err := runOnce(t, dir, a.Command[0])
	require.Error(t, err)
	assert.Contains(t, out, "ModuleNotFoundError: No module named 'nowhere'")
}
