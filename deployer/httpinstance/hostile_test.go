package httpinstance_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/httpinstance"
)

// What a function may answer, and what becomes of it: never a truncated success.
func TestHostileResponses(t *testing.T) {
	const (
		failed    = "\x00failed"    // Invoke fails
		truncated = "\x00truncated" // the body's stream fails
	)
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct{ raw, want string }{
		"nothing":                  {"", failed},
		"garbage":                  {"SSH-2.0-OpenSSH_9.2\r\n", failed},
		"garbage without lines":    {strings.Repeat("\xff", 100), failed},
		"part of a status line":    {"HTTP/1.1 2", failed},
		"head without end":         {ok + "A: b\r\n", failed},
		"bad version":              {"HTTP/2.0 200 OK\r\n\r\n", failed},
		"lower-case version":       {"http/1.1 200 OK\r\n\r\n", failed},
		"status of two digits":     {"HTTP/1.1 20 OK\r\n\r\n", failed},
		"status of four digits":    {"HTTP/1.1 2000 OK\r\n\r\n", failed},
		"status that is no number": {"HTTP/1.1 2x0 OK\r\n\r\n", failed},
		"status 000":               {"HTTP/1.1 000 OK\r\n\r\n", failed},
		"status 600":               {"HTTP/1.1 600 OK\r\n\r\n", failed},
		"no reason":                {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "hi"},
		"bare LF":                  {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", failed},
		"bare CR in a value":       {ok + "A: b\rSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n", failed},
		"NUL in a value":           {ok + "A: b\x00\r\nContent-Length: 0\r\n\r\n", failed},
		"control in the reason":    {"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", failed},
		"folded field":             {ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", failed},
		"space before the colon":   {ok + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", failed},
		"no colon":                 {ok + "A b\r\n\r\n", failed},
		"empty name":               {ok + ": b\r\n\r\n", failed},
		"two lengths":              {ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", failed},
		"two other lengths":        {ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", failed},
		"list of lengths":          {ok + "Content-Length: 2, 2\r\n\r\nhi", failed},
		"negative length":          {ok + "Content-Length: -2\r\n\r\nhi", failed},
		"length with a plus":       {ok + "Content-Length: +2\r\n\r\nhi", failed},
		"hexadecimal length":       {ok + "Content-Length: 0x2\r\n\r\nhi", failed},
		"empty length":             {ok + "Content-Length:\r\n\r\nhi", failed},
		"length over 64 bits":      {ok + "Content-Length: 99999999999999999999\r\n\r\nhi", failed},
		"length and chunks":        {ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", failed},
		"unknown coding":           {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", failed},
		"two codings":              {ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", failed},
		"chunks in HTTP/1.0":       {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", failed},
		"204 with a body":          {"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi", failed},
		"204 with chunks":          {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", failed},
		"204 of length 0":          {"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", ""},
		"short body":               {ok + "Content-Length: 10\r\n\r\nhi", failed},
		"short large body":         {ok + "Content-Length: 100000\r\n\r\nhi", truncated},
		"huge head":                {ok + "A: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", failed},
		"many fields":              {ok + strings.Repeat("A: b\r\n", 12<<10) + "\r\n", failed},
		"large head":               {ok + "Content-Length: 2\r\nA: " + strings.Repeat("a", 60<<10) + "\r\n\r\nhi", "hi"},
		"many interim responses":   {strings.Repeat("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", 10_000), failed},
		"some interim responses":   {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi", "hi"},
		"switched protocol":        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", failed},
		"chunks":                   {ok + "Transfer-Encoding: Chunked\r\n\r\n1\r\nh\r\n1;ext=\"x\"\r\ni\r\n0\r\n\r\n", "hi"},
		"chunks without an end":    {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", truncated},
		"chunk cut off":            {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", truncated},
		"last chunk cut off":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", truncated},
		"chunk without a size":     {ok + "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n", truncated},
		"bad chunk size":           {ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhi\r\n0\r\n\r\n", truncated},
		"negative chunk size":      {ok + "Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n", truncated},
		"chunk size over 60 bits":  {ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n", truncated},
		"long chunk extension":     {ok + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 300) + "\r\nhi\r\n0\r\n\r\n", truncated},
		"chunk too long":           {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n", truncated},
		"chunk with bare LF":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n", truncated},
		"bad trailer":              {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA b\r\n\r\n", truncated},
		"huge trailers":            {ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 12<<10) + "\r\n", truncated},
		"until close":              {ok + "\r\nhi", "hi"},
		"HTTP/1.0":                 {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"},
		"more than its length":     {ok + "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "hi"},
	} {
		t.Run(name, func(t *testing.T) {
			ep := raw(t, "unix", func(nc net.Conn, r *bufio.Reader) {
				_, _ = io.WriteString(nc, c.raw)
				for c.want != failed && c.want != truncated && name != "until close" {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					_, _ = io.WriteString(nc, c.raw)
				}
			})
			inv := connect(t, nil, ep)
			for range 2 { // the second call must not see what the first one left
				resp, err := inv.Invoke(t.Context(), &faas.Request{Method: "GET"})
				if c.want == failed {
					require.ErrorIs(t, err, faas.ErrFunction)
					assert.Less(t, len(err.Error()), 1000)
					continue
				}
				require.NoError(t, err)
				b, err := resp.Body.Text()
				if c.want == truncated {
					require.ErrorIs(t, err, faas.ErrFunction)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, c.want, b)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	ep, _ := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	resp, err := connect(t, nil, ep).Invoke(t.Context(), &faas.Request{Method: "GET"})
	require.NoError(t, err)
	assert.Equal(t, http.StatusFound, resp.Status)
	assert.Equal(t, "http://169.254.169.254/latest", resp.Header.Get("Location"))
}

func TestUnaskedBytesSpoilAnIdleConnection(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		spoil, spoiled := make(chan struct{}), make(chan struct{})
		ep := raw(t, network, func(c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
			select {
			case <-spoil:
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
				spoiled <- struct{}{}
			case <-t.Context().Done():
				return
			}
			_, _ = r.ReadByte()
		})
		inv := connect(t, nil, ep)
		for range 3 {
			resp, err := inv.Invoke(t.Context(), &faas.Request{Method: "GET"})
			require.NoError(t, err)
			b, err := resp.Body.Text()
			require.NoError(t, err)
			require.Equal(t, "hi", b)
			spoil <- struct{}{}
			<-spoiled
		}
	})
}

func TestEndOfTheContextReachesTheFunction(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		entered, told := make(chan struct{}), make(chan struct{})
		ep, conns := serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // net/http looks for the caller's end only then
			if r.URL.Path == "/stream" {
				_, _ = io.WriteString(w, "begun")
				_ = http.NewResponseController(w).Flush()
			}
			entered <- struct{}{}
			<-r.Context().Done()
			told <- struct{}{}
		})
		inv := connect(t, nil, ep)
		for _, path := range []string{"/", "/stream"} {
			for _, class := range []error{faas.ErrCanceled, faas.ErrTimeout} {
				ctx, cancel := context.WithCancel(t.Context())
				if errors.Is(class, faas.ErrTimeout) {
					ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
				}
				go func() {
					<-entered
					if errors.Is(class, faas.ErrCanceled) {
						cancel()
					}
				}()
				resp, err := inv.Invoke(ctx, &faas.Request{Path: path, Body: faas.String("x")})
				if err == nil {
					_, err = resp.Body.Text()
				}
				require.ErrorIs(t, err, class)
				<-told
				cancel()
			}
		}
		require.Eventually(t, func() bool { return conns.alive() == 0 }, 10*time.Second, time.Millisecond)
	})
}

func TestCloseOfABodyGivesTheConnectionUp(t *testing.T) {
	ep, conns := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	resp, err := connect(t, nil, ep).Invoke(t.Context(), &faas.Request{})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, resp.Body.Close())
	_, err = resp.Body.Reader().Read(make([]byte, 1))
	require.ErrorIs(t, err, faas.ErrClosed)
	require.Eventually(t, func() bool { return conns.alive() == 0 }, 10*time.Second, time.Millisecond)
}

func TestCloseCutsCallsAndRefusesMore(t *testing.T) {
	entered := make(chan struct{})
	ep, conns := serve(t, "unix", func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	inv := connect(t, nil, ep)
	go func() {
		<-entered
		assert.NoError(t, inv.Close())
	}()
	_, err := inv.Invoke(t.Context(), &faas.Request{})
	require.ErrorIs(t, err, faas.ErrFunction)
	_, err = inv.Invoke(t.Context(), &faas.Request{})
	require.ErrorIs(t, err, faas.ErrClosed)
	require.NoError(t, inv.Close())
	require.Eventually(t, func() bool { return conns.alive() == 0 }, 10*time.Second, time.Millisecond)
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	ep, conns := serve(t, "unix", func(http.ResponseWriter, *http.Request) {})
	inv := connect(t, &httpinstance.Options{IdleTimeout: 20 * time.Millisecond}, ep)
	for range 3 {
		_, err := inv.Invoke(t.Context(), &faas.Request{})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return conns.alive() == 0 }, 10*time.Second, time.Millisecond)
	}
	assert.Equal(t, 3, conns.made())
}
