package httpfront_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router/httpfront"
)

func TestStreamsBothWays(t *testing.T) {
	address := serve(t, func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		assert.EqualValues(t, -1, req.Body.Size())
		resp := &faas.Response{Header: http.Header{}}
		pr, pw := io.Pipe()
		go func() {
			body := req.Body.Reader()
			_, err := io.Copy(pw, body)
			resp.Header[http.TrailerPrefix+"X-Sum"] = []string{"42"}
			pw.CloseWithError(err)
		}()
		resp.Body = faas.Stream(pr, -1)
		return resp, nil
	}, nil)
	c := dial(t, address)
	_, err := io.WriteString(c, "POST /function/hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err, "the head comes before any of the body was sent")
	defer resp.Body.Close()
	for i := range 3 {
		msg := fmt.Sprintf("data: %d\n\n", i)
		_, err = fmt.Fprintf(c, "%x\r\n%s\r\n", len(msg), msg)
		require.NoError(t, err)
		got := make([]byte, len(msg))
		_, err = io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		assert.Equal(t, msg, string(got))
	}
	_, err = io.WriteString(c, "0\r\n\r\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Empty(t, rest)
	assert.Equal(t, "42", resp.Trailer.Get("X-Sum"))
}

func TestResponseThatBreaksOffAbortsTheConnection(t *testing.T) {
	broken := faas.Errorf("function instance", "read", "", faas.ErrFunction, "broken: %w", io.EOF)
	for _, size := range []int64{-1, 1000, 100_000} {
		address := serve(t, func(context.Context, *faas.Request) (*faas.Response, error) {
			return &faas.Response{Body: faas.Stream(io.MultiReader(strings.NewReader("part"), failing{broken}), size)}, nil
		}, nil)
		c := dial(t, address)
		_, err := io.WriteString(c, "GET /function/hello HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "size %d", size)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestClientThatGoesAwayCancels(t *testing.T) {
	for name, request := range map[string]string{
		"without a body": "GET /function/hello HTTP/1.1\r\nHost: x\r\n\r\n",
		"with a body":    "POST /function/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		"within a body":  "POST /function/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nhi",
		"within chunks":  "POST /function/hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
	} {
		entered, ended := make(chan struct{}), make(chan error, 1)
		address := serve(t, func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			close(entered)
			_, err := req.Body.Text()
			if err == nil {
				<-ctx.Done()
				err = faas.ContextError(ctx, "test", "wait", "")
			}
			ended <- err
			return nil, err
		}, nil)
		c := dial(t, address)
		_, err := io.WriteString(c, request)
		require.NoError(t, err)
		<-entered
		require.NoError(t, c.Close())
		select {
		case err := <-ended:
			require.ErrorIs(t, err, faas.ErrCanceled, name)
		case <-time.After(10 * time.Second):
			t.Fatal("the function was not told: ", name)
		}
	}
}

func TestClientThatTrickles(t *testing.T) {
	address := serve(t, echo(nil), &httpfront.Options{Timeout: 100 * time.Millisecond})
	for _, head := range []string{"Content-Length: 10", "Content-Length: 100000", "Transfer-Encoding: chunked"} {
		resp, body := send(t, address, "POST /function/hello HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n1\r\n")
		assert.Equal(t, http.StatusGatewayTimeout, resp.StatusCode, head)
		assert.Equal(t, "timeout", errorOf(t, body).Class)
	}
}

func TestClientThatDoesNotRead(t *testing.T) {
	closed := make(chan struct{})
	address := serve(t, func(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.Stream(endless{closed}, -1)}, nil
	}, &httpfront.Options{Timeout: 200 * time.Millisecond})
	c := dial(t, address)
	_, err := io.WriteString(c, "GET /function/hello HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the response was not given up")
	}
}

func TestClientThatDoesNotReadAResponseInHand(t *testing.T) {
	front := httpfront.New(faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.Bytes(make([]byte, 64<<20))}, nil
	}), &httpfront.Options{Timeout: 100 * time.Millisecond})
	given := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		front.ServeHTTP(w, r)
		close(given)
	}))
	defer srv.Close()
	c := dial(t, srv.Listener.Addr().String())
	_, err := io.WriteString(c, "GET /function/hello HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-given
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

type endless struct{ closed chan struct{} }

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (e endless) Close() error             { close(e.closed); return nil }

func TestUnreadBodyIsLeft(t *testing.T) {
	reading := make(chan struct{})
	address := serve(t, func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		body := req.Body.Reader()
		go func() {
			_, _ = body.Read(make([]byte, 1))
			_, err := body.Read(make([]byte, 1)) // waits for a client that sends nothing
			assert.Error(t, err)
			close(reading)
		}()
		return &faas.Response{Status: http.StatusConflict, Body: faas.String("no")}, nil
	}, nil)
	resp, body := send(t, address, "POST /function/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nh")
	assert.Equal(t, http.StatusConflict, resp.StatusCode)
	assert.Equal(t, "no", body)
	<-reading
}

func TestUpgradeIsRefused(t *testing.T) {
	address := serve(t, echo(nil), nil)
	resp, body := send(t, address, "GET /function/hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	assert.Equal(t, http.StatusNotImplemented, resp.StatusCode)
	assert.Equal(t, "unimplemented", errorOf(t, body).Class)
	resp, _ = send(t, address, "GET /function/hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
}

// What a hostile client may send, and what becomes of it.
func TestHostileRequests(t *testing.T) {
	calls := make(chan seen, 16)
	address := serve(t, func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		b, err := req.Body.Text()
		calls <- seen{Request: *req, body: b}
		return &faas.Response{Body: faas.String(b)}, err
	}, nil)
	const host = " HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		raw    string
		status int
		close  bool
	}{
		"length and chunks":  {"POST /function/hello" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /function/smuggled" + host + "\r\n", 200, true},
		"two lengths":        {"POST /function/hello" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, true},
		"negative length":    {"POST /function/hello" + host + "Content-Length: -1\r\n\r\n", 400, true},
		"length with a plus": {"POST /function/hello" + host + "Content-Length: +1\r\n\r\na", 400, true},
		"space before colon": {"POST /function/hello" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, true},
		"unknown coding":     {"POST /function/hello" + host + "Transfer-Encoding: xchunked\r\n\r\n", 501, true},
		"two codings":        {"POST /function/hello" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, true},
		"two hosts":          {"GET /function/hello" + host + "Host: y\r\n\r\n", 400, true},
		"no host":            {"GET /function/hello HTTP/1.1\r\n\r\n", 400, true},
		"bad host":           {"GET /function/hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400, true},
		"space in target":    {"GET /function/hello /x" + host + "\r\n", 400, true},
		"control in target":  {"GET /function/hello\x01" + host + "\r\n", 400, true},
		"bad escape":         {"GET /function/hello/%zz" + host + "\r\n", 400, true},
		"folded header":      {"GET /function/hello" + host + "A: b\r\n c\r\n\r\n", 200, false},
		"NUL in header":      {"GET /function/hello" + host + "A: b\x00c\r\n\r\n", 400, true},
		"bad header name":    {"GET /function/hello" + host + "A(: b\r\n\r\n", 400, true},
		"huge header":        {"GET /function/hello" + host + "A: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", 431, true},
		"bad chunk size":     {"POST /function/hello" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, true},
		"chunk overflow":     {"POST /function/hello" + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400, true},
		"CONNECT":            {"CONNECT x:80" + host + "\r\n", 400, false},
		"asterisk":           {"GET *" + host + "\r\n", 404, false},
		"bad method":         {"G(T /function/hello" + host + "\r\n", 400, true},
		"HTTP/0.9":           {"GET /function/hello\r\n\r\n", 400, true},
		"HTTP/2 preface":     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, true},
		"huge body":          {"POST /function/hello" + host + "Content-Length: 9000000000\r\n\r\n", 413, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, address)
			_, err := io.WriteString(conn, c.raw)
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, c.status, resp.StatusCode)
			if c.close {
				_, err := r.ReadByte()
				require.Error(t, err, "nothing behind it is served")
			}
			for done := false; !done; {
				select {
				case got := <-calls:
					assert.Equal(t, "hello", got.Function.Name)
				default:
					done = true
				}
			}
			resp, body := send(t, address, "POST /function/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
			assert.Equal(t, "200 ok", fmt.Sprint(resp.StatusCode, " ", body), "it still serves")
			<-calls
		})
	}
}

func TestPanicFreesTheCall(t *testing.T) {
	front := httpfront.New(faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { panic(errTest) }), nil)
	for range 3 {
		assert.PanicsWithError(t, errTest.Error(), func() {
			front.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/function/hello", nil))
		})
	}
	assert.Panics(t, func() { httpfront.New(nil, nil) })
}

var errTest = errors.New("test")
