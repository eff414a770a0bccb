// Package testcall calls the test function in tests of drivers.
//
//	e := start(t, d, task).Endpoint
//	pid := testcall.MustGet(t, e, "/pid")
package testcall

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/joinery/faas/orchestrator/driver"
)

// limit is far beyond what any call takes on a busy machine.
const limit = 30 * time.Second

// Get calls the endpoint on a connection of its own; the error is that of a connection that was cut.
func Get(tb testing.TB, e driver.Endpoint, path string) (string, error) {
	tb.Helper()
	c := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, e.Network, e.Address)
		}}}
	resp, err := c.Get("http://function" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// MustGet is Get of a call that must work.
func MustGet(tb testing.TB, e driver.Endpoint, path string) string {
	tb.Helper()
	body, err := Get(tb, e, path)
	if err != nil {
		tb.Fatalf("GET %s: %v", path, err)
	}
	return body
}
