package httpfront_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router/httpfront"
)

// net/http itself lingers for half a second when it closes a connection.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// serve runs the front on a real server and returns its address.
func serve(t testing.TB, inv faas.InvokerFunc, o *httpfront.Options) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := httpfront.NewServer(httpfront.New(inv, o))
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return ln.Addr().String()
}

// send writes raw bytes on a connection of its own and reads one response.
func send(t testing.TB, address, raw string) (*http.Response, string) {
	c := dial(t, address)
	_, err := io.WriteString(c, raw)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err, "%q", raw)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err, "%q", raw)
	return resp, string(b)
}

func dial(t testing.TB, address string) net.Conn {
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// record serves one request without a network.
func record(inv faas.InvokerFunc, o *httpfront.Options, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	httpfront.New(inv, o).ServeHTTP(w, r)
	return w
}

// seen is what a function saw.
type seen struct {
	faas.Request
	body     string
	deadline bool
}

// echo is a function that answers with its body and shows what it saw.
func echo(got *seen) faas.InvokerFunc {
	return func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		b, err := req.Body.Text()
		if err != nil {
			return nil, err
		}
		if got != nil {
			*got = seen{Request: *req, body: b}
			got.Header = req.Header.Clone()
			_, got.deadline = ctx.Deadline()
		}
		return &faas.Response{Body: faas.String(b)}, nil
	}
}

type platformError struct {
	Component, Class, Reason, Next, RequestID string
	RetryAfter                                int
}

func errorOf(t testing.TB, body string) platformError {
	var e struct{ Error platformError }
	require.NoError(t, json.Unmarshal([]byte(body), &e), "%q", body)
	return e.Error
}
