package httpinstance_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/orchestrator/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hello = faas.Function{Ref: faas.Ref{Name: "hello", Version: "1"}, Spec: faas.Spec{Concurrency: 8}}

// listen opens a listener for each network the connector speaks.
func listen(t testing.TB, network string) net.Listener {
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, addr)
	require.NoError(t, err)
	return ln
}

func endpoint(ln net.Listener) driver.Endpoint {
	return driver.Endpoint{Network: ln.Addr().Network(), Address: ln.Addr().String()}
}

func connect(t testing.TB, o *httpinstance.Options, ep driver.Endpoint) faas.InvokeCloser {
	inv, err := httpinstance.New(o).Connect(context.Background(), hello, ep)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inv.Close()) })
	return inv
}

// serve runs a real net/http server with the handler as the function, and counts its connections.
func serve(t testing.TB, network string, h http.HandlerFunc) (driver.Endpoint, *conns) {
	ln := listen(t, network)
	c := &conns{open: map[net.Conn]bool{}}
	srv := &http.Server{Handler: h, ConnState: c.state}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return endpoint(ln), c
}

// conns is a server's view of its connections.
type conns struct {
	mu    sync.Mutex
	total int
	open  map[net.Conn]bool
}

func (c *conns) state(nc net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.total++
		c.open[nc] = true
	case http.StateClosed:
		delete(c.open, nc)
	}
}

func (c *conns) made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

func (c *conns) alive() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// raw runs a server that hands each connection to f once the head of a request was
// read, and closes it after f.
func raw(t testing.TB, network string, f func(c net.Conn, r *bufio.Reader)) driver.Endpoint {
	ln := listen(t, network)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				defer stop()
				r := bufio.NewReader(c)
				req, err := http.ReadRequest(r)
				if err == nil {
					_, _ = r.Discard(int(max(req.ContentLength, 0)))
					f(c, r)
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return endpoint(ln)
}

func networks(t *testing.T, f func(t *testing.T, network string)) {
	for _, n := range []string{"unix", "tcp"} {
		t.Run(n, func(t *testing.T) { f(t, n) })
	}
}
