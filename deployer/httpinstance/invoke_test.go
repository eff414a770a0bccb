package httpinstance_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/orchestrator/driver"
)

func TestRequestArrivesAsItIs(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		seen := make(chan *http.Request, 1)
		ep, _ := serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(b))
			seen <- r
			w.Header().Set("X-Answer", "yes")
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.Header().Set("X-Joinery-Secret", "1")
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write(append([]byte("got "), b...))
		})
		inv := connect(t, nil, ep)
		deadline := time.Now().Add(time.Minute)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		resp, err := inv.Invoke(ctx, &faas.Request{
			ID: "r-1", Method: "PUT", Path: "/a%2fb//c;d/../e", Query: "x=1&y=%20",
			Header: http.Header{
				"Accept": {"text/plain", "text/html"}, "x-lower": {"kept"}, "X-Joinery-Attempt": {"2"},
				"Host": {"evil"}, "X-Request-Id": {"forged"}, "X-Request-Deadline": {"1"}, "Content-Length": {"999"},
				"Connection": {"X-Private, close"}, "X-Private": {"1"}, "Transfer-Encoding": {"chunked"}, "te": {"trailers"},
				"Upgrade": {"websocket"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"p"}, "Expect": {"100-continue"},
			},
			Body: faas.String("payload"),
		})
		require.NoError(t, err)
		r := <-seen
		assert.Equal(t, "PUT", r.Method)
		assert.Equal(t, "/a%2fb//c;d/../e?x=1&y=%20", r.RequestURI)
		assert.Equal(t, "hello.default", r.Host)
		assert.Equal(t, int64(7), r.ContentLength)
		assert.Equal(t, http.Header{
			"Accept": {"text/plain", "text/html"}, "X-Lower": {"kept"}, "X-Joinery-Attempt": {"2"},
			"X-Request-Id": {"r-1"}, "X-Request-Deadline": {strconv.FormatInt(deadline.UnixMilli(), 10)}, "Content-Length": {"7"},
		}, r.Header)

		text, err := resp.Body.Text()
		require.NoError(t, err)
		assert.Equal(t, "got payload", text)
		assert.Equal(t, http.StatusTeapot, resp.Status)
		assert.Equal(t, "yes", resp.Header.Get("X-Answer"))
		assert.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
		assert.NotContains(t, resp.Header, "X-Joinery-Secret")
		assert.NotContains(t, resp.Header, "Content-Length")
	})
}

func TestBodiesOfEverySizeAndKind(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		ep, made := serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if r.URL.Query().Has("length") {
				w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			}
			_, _ = w.Write(b)
		})
		inv := connect(t, nil, ep)
		for _, size := range []int{0, 1, 2000, 4095, 4096, 32 << 10, 32<<10 + 1, 64 << 10, 64<<10 + 1, 3 << 20} {
			want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			for kind, body := range map[string]faas.Body{
				"in hand": faas.Bytes(want),
				"known":   faas.Stream(bytes.NewReader(want), int64(size)),
				"unknown": faas.Stream(bytes.NewReader(want), -1),
			} {
				for _, query := range []string{"", "length"} {
					resp, err := inv.Invoke(t.Context(), &faas.Request{Query: query, Body: body})
					require.NoError(t, err, "%d %s", size, kind)
					if _, inHand := resp.Body.InHand(); query != "" {
						assert.Equal(t, size <= 64<<10, inHand)
						assert.EqualValues(t, size, resp.Body.Size())
					}
					got, err := resp.Body.ReadAll(0)
					require.NoError(t, err)
					require.True(t, bytes.Equal(want, got), "%d %s %q", size, kind, query)
					if s, ok := body.InHand(); !ok || len(s) == 0 {
						break // a stream is read once
					}
				}
			}
		}
		assert.LessOrEqual(t, made.made(), 5, "calls that follow each other share a connection, but for a slow upload's")
	})
}

func TestResponsesWithoutBody(t *testing.T) {
	ep, made := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "1234567")
		}
	})
	inv := connect(t, nil, ep)
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/204", 204}, {"GET", "/304", 304}, {"HEAD", "/", 200}} {
		resp, err := inv.Invoke(t.Context(), &faas.Request{Method: c.method, Path: c.path})
		require.NoError(t, err)
		assert.Equal(t, c.status, resp.Status)
		assert.Zero(t, resp.Body.Size())
		if c.method == "HEAD" {
			assert.Equal(t, "1234567", resp.Header.Get("Content-Length"))
		}
	}
	assert.Equal(t, 1, made.made())
}

func TestFullDuplexAndTrailers(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		ep, made := serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			w.Header().Set("Trailer", "X-Sum")
			_ = rc.Flush()
			n, _ := io.Copy(flusher{w, rc}, r.Body)
			w.Header().Set("X-Sum", strconv.FormatInt(n, 10))
		})
		inv := connect(t, nil, ep)
		pr, pw := io.Pipe()
		resp, err := inv.Invoke(t.Context(), &faas.Request{Body: faas.Stream(pr, -1)})
		require.NoError(t, err, "the response begins before the request ends")
		body := resp.Body.Reader()
		for i := range 3 {
			msg := fmt.Sprintf("message %d", i)
			_, err = io.WriteString(pw, msg)
			require.NoError(t, err)
			got := make([]byte, len(msg))
			_, err = io.ReadFull(body, got)
			require.NoError(t, err)
			assert.Equal(t, msg, string(got))
		}
		require.NoError(t, pw.Close())
		rest, err := io.ReadAll(body)
		require.NoError(t, err)
		assert.Empty(t, rest)
		assert.Equal(t, []string{"27"}, resp.Header[http.TrailerPrefix+"X-Sum"])

		_, err = inv.Invoke(t.Context(), &faas.Request{Method: "GET"})
		require.NoError(t, err)
		assert.LessOrEqual(t, made.made(), 2, "the connection is used again, unless the upload was slow to end")
	})
}

type flusher struct {
	io.Writer
	rc *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

func TestEarlyAnswerCutsTheUpload(t *testing.T) {
	ep, _ := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	})
	inv := connect(t, nil, ep)
	pr, pw := io.Pipe()
	resp, err := inv.Invoke(t.Context(), &faas.Request{Body: faas.Stream(pr, -1)})
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.Status)
	_, err = pw.Write([]byte("more"))
	require.ErrorIs(t, err, io.ErrClosedPipe, "the request's stream is closed")

	resp, err = inv.Invoke(t.Context(), &faas.Request{Body: faas.Bytes(make([]byte, 8<<20))})
	if err == nil {
		assert.Equal(t, http.StatusRequestEntityTooLarge, resp.Status)
	} else {
		require.ErrorIs(t, err, faas.ErrFunction)
	}
}

func TestFailingRequestBody(t *testing.T) {
	ep, _ := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			w.WriteHeader(200)
		}
	})
	inv := connect(t, nil, ep)
	tooLarge := faas.Errorf("test", "read", "", faas.ErrExhausted, "too large")
	for name, c := range map[string]struct {
		body  faas.Body
		class error
	}{
		"own class": {faas.Stream(io.MultiReader(strings.NewReader("abc"), failing{tooLarge}), -1), faas.ErrExhausted},
		"none":      {faas.Stream(io.MultiReader(strings.NewReader("abc"), failing{io.ErrNoProgress}), -1), faas.ErrInvalidArgument},
		"short":     {faas.Stream(strings.NewReader("abc"), 4), faas.ErrInvalidArgument},
	} {
		_, err := inv.Invoke(t.Context(), &faas.Request{Body: c.body})
		require.ErrorIs(t, err, c.class, name)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestInvalidRequestsAreNotSent(t *testing.T) {
	ep, made := serve(t, "unix", func(http.ResponseWriter, *http.Request) {})
	inv := connect(t, nil, ep)
	for _, req := range []faas.Request{
		{Method: "GET /x HTTP/1.1\r\nX: y\r\n\r\n"}, {Method: "CONNECT"}, {Method: "G T"},
		{Path: "no-slash"}, {Path: "/a b"}, {Path: "/a\r\nX: y"}, {Path: "/\x00"}, {Path: "/a?b"}, {Path: "/a#b"}, {Path: "/é"},
		{Query: "a b"}, {Query: "a\nb"}, {Query: "#"}, {ID: "a\r\nX: y"},
		{Header: http.Header{"X-A": {"b\r\nX-Injected: 1"}}}, {Header: http.Header{"X-A": {"b\x00"}}},
		{Header: http.Header{"X A": {"b"}}}, {Header: http.Header{"X-A:": {"b"}}}, {Header: http.Header{"": {"b"}}},
		{Header: http.Header{"X-A\r\nX-B": {"b"}}}, {Header: http.Header{"X-Large": {strings.Repeat("a", 64<<10)}}},
	} {
		_, err := inv.Invoke(t.Context(), &req)
		assert.ErrorIs(t, err, faas.ErrInvalidArgument, "%+v", req)
	}
	assert.Zero(t, made.made())
}

func TestConnectRefusesWhatItCannotSpeak(t *testing.T) {
	c := httpinstance.New(nil)
	_, err := c.Connect(t.Context(), hello, driver.Endpoint{Network: "handler", Address: "x"})
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	_, err = c.Connect(t.Context(), hello, driver.Endpoint{Network: "tcp"})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
}

func TestNeverReachedIsUnavailable(t *testing.T) {
	ln := listen(t, "tcp")
	refused := endpoint(ln)
	require.NoError(t, ln.Close())
	for _, ep := range []driver.Endpoint{refused, {Network: "unix", Address: filepath.Join(t.TempDir(), "none")}} {
		stream := strings.NewReader("untouched")
		_, err := connect(t, nil, ep).Invoke(t.Context(), &faas.Request{Body: faas.Stream(stream, -1)})
		require.ErrorIs(t, err, faas.ErrUnavailable)
		assert.Equal(t, 9, stream.Len(), "the body was not read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := connect(t, nil, refused).Invoke(ctx, &faas.Request{})
	require.ErrorIs(t, err, faas.ErrCanceled)
}

func TestClosedConnectionsAreReplacedUnseen(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		var mu sync.Mutex
		var last net.Conn
		ln := listen(t, network)
		srv := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}),
			ConnState: func(c net.Conn, s http.ConnState) {
				if s == http.StateIdle {
					mu.Lock()
					last = c
					mu.Unlock()
				}
			},
		}
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(func() { _ = srv.Close() })
		inv := connect(t, nil, endpoint(ln))
		for range 50 {
			_, err := inv.Invoke(t.Context(), &faas.Request{})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				if last == nil {
					return false
				}
				_ = last.Close()
				last = nil
				return true
			}, 10*time.Second, 100*time.Microsecond)
		}
	})
}

func TestFullBacklogIsWaitedFor(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/core/somaxconn"); err != nil {
		t.Skip("needs Linux: elsewhere a full backlog of a unix socket looks like no listener")
	}
	ep := fullBacklog(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := connect(t, nil, ep).Invoke(ctx, &faas.Request{})
	require.ErrorIs(t, err, faas.ErrTimeout)
	_, err = connect(t, &httpinstance.Options{DialTimeout: 20 * time.Millisecond}, ep).Invoke(t.Context(), &faas.Request{})
	require.ErrorIs(t, err, faas.ErrUnavailable)
}
