package httpfront_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router/httpfront"
)

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		target string
		want   string // the function, and the path it sees; empty: 404
	}{
		{"/function/hello", "default/hello /"},
		{"/function/hello/", "default/hello /"},
		{"/function/hello.prod/a/b?x=1&y", "prod/hello /a/b?x=1&y"},
		{"/function/hello.prod@live/a", "prod/hello@live /a"},
		{"/function/hello@3", "default/hello@3 /"},
		{"/function/hello//a", "default/hello //a"},
		{"/function/hello/a;b=1/c", "default/hello /a;b=1/c"},
		{"/function/hello/a%2fb%20c%3f", "default/hello /a%2fb%20c%3f"},
		{"/function/hello/../other", "default/hello /../other"},
		{"/function/hello/%2e%2e/other", "default/hello /%2e%2e/other"},
		{"/function/hello/é", "default/hello /%C3%A9"},
		{"/function/hello?..", "default/hello /?.."},
		{"http://elsewhere/function/hello/x", "default/hello /x"},
		{"/", ""}, {"/function", ""}, {"/function/", ""}, {"/functions/hello", ""}, {"/FUNCTION/hello", ""},
		{"/function//hello", ""}, {"/function/../function/hello", ""}, {"/function/.", ""}, {"/function/..", ""},
		{"/function/Hello", ""}, {"/function/-a", ""}, {"/function/a-", ""}, {"/function/a_b", ""}, {"/function/a%2fb", ""},
		{"/function/a%00", ""}, {"/function/a.", ""}, {"/function/.a", ""}, {"/function/a.b.c", ""}, {"/function/a@", ""},
		{"/function/a@b@c", ""}, {"/function/a;b", ""}, {"/function/é", ""}, {"/function/%e2%80%ae", ""},
		{"/function/" + strings.Repeat("a", 64), ""}, {"/function/a@../b", ""}, {"//function/hello", ""},
	} {
		var got seen
		w := record(echo(&got), nil, httptest.NewRequest("GET", c.target, nil))
		if c.want == "" {
			assert.Equal(t, http.StatusNotFound, w.Code, c.target)
			e := errorOf(t, w.Body.String())
			assert.Equal(t, "not found", e.Class)
			assert.NotEmpty(t, e.Next)
			continue
		}
		path := got.Path
		if got.Query != "" {
			path += "?" + got.Query
		}
		assert.Equal(t, c.want, got.Function.String()+" "+path, c.target)
		assert.Equal(t, http.StatusOK, w.Code)
	}
	w := record(echo(nil), nil, httptest.NewRequest("GET", "/function/hello/a%00b", nil))
	assert.Equal(t, http.StatusBadRequest, w.Code)
}

func TestRequestArrives(t *testing.T) {
	var got seen
	address := serve(t, echo(&got), nil)
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "get"} {
		resp, body := send(t, address, method+" /function/hello/p?q=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\n"+
			"X-Request-Id: abc-1\r\nAccept: a\r\nAccept: b\r\nCookie: c=d\r\nAuthorization: secret\r\n"+
			"X-Joinery-Attempt: 7\r\nx-joinery-any: 1\r\nConnection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: 1\r\nProxy-Authorization: p\r\n"+
			"TE: trailers\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\r\nbody")
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "body", body)
		assert.Equal(t, method, got.Method)
		assert.Equal(t, "/p", got.Path)
		assert.Equal(t, "q=1", got.Query)
		assert.Equal(t, "abc-1", got.ID)
		assert.True(t, got.deadline)
		assert.Equal(t, http.Header{
			"Accept": {"a", "b"}, "Cookie": {"c=d"}, "Authorization": {"secret"},
			"Forwarded":       {`for=127.0.0.1;host="shop.example";proto=http`},
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"shop.example"}, "X-Forwarded-Proto": {"http"},
		}, got.Header)
		assert.Equal(t, "abc-1", resp.Header.Get("X-Request-Id"))
		assert.Regexp(t, `^queue;dur=0, lookup;dur=0, decide;dur=0, place;dur=0, start;dur=0, init;dur=0, run;dur=[0-9.]+$`, resp.Header.Get("Server-Timing"))
		assert.NotContains(t, resp.Header, "Content-Type", "nothing is guessed")
	}
}

func TestTrustForwarded(t *testing.T) {
	var got seen
	r := httptest.NewRequest("GET", "http://inner/function/hello", nil)
	r.RemoteAddr = "[2001:db8::1]:99"
	r.Header = http.Header{"Forwarded": {"for=1.1.1.1"}, "X-Forwarded-For": {"1.1.1.1", "2.2.2.2"},
		"X-Forwarded-Host": {"outer"}, "X-Forwarded-Proto": {"https"}}
	record(echo(&got), &httpfront.Options{TrustForwarded: true}, r)
	assert.Equal(t, http.Header{
		"Forwarded": {`for=1.1.1.1, for="[2001:db8::1]";host="inner";proto=http`}, "X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 2001:db8::1"},
		"X-Forwarded-Host": {"outer"}, "X-Forwarded-Proto": {"https"},
	}, got.Header)

	r.RemoteAddr = "@" // a unix socket
	record(echo(&got), nil, r)
	assert.Equal(t, []string{`for=unknown;host="inner";proto=http`}, got.Header["Forwarded"])
	assert.NotContains(t, got.Header, "X-Forwarded-For")
}

func TestRequestIDs(t *testing.T) {
	ids := map[string]bool{}
	for _, given := range []string{"", "a b", "a\"b", strings.Repeat("a", 129), "<script>", "é"} {
		var got seen
		r := httptest.NewRequest("GET", "/function/hello", nil)
		if given != "" {
			r.Header.Set("X-Request-Id", given)
		}
		w := record(echo(&got), nil, r)
		assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.ID)
		assert.Equal(t, got.ID, w.Header().Get("X-Request-Id"))
		ids[got.ID] = true
	}
	assert.Len(t, ids, 6)
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	for _, c := range []struct {
		class  error
		status int
		retry  bool
	}{
		{faas.ErrInvalidArgument, 400, false}, {faas.ErrDenied, 403, false}, {faas.ErrNotFound, 404, false},
		{faas.ErrAlreadyExists, 409, false}, {faas.ErrConflict, 409, false}, {faas.ErrExhausted, 429, true},
		{faas.ErrInternal, 500, false}, {faas.ErrCorrupt, 500, false}, {faas.ErrUnimplemented, 501, false},
		{faas.ErrFunction, 502, false}, {faas.ErrUnavailable, 503, true}, {faas.ErrClosed, 503, true},
		{faas.ErrCanceled, 503, true}, {faas.ErrTimeout, 504, false},
	} {
		w := record(func(context.Context, *faas.Request) (*faas.Response, error) {
			return nil, &faas.Error{Component: "router", Op: "invoke", Class: c.class, Err: errors.New("some reason"), Next: "do this"}
		}, nil, httptest.NewRequest("GET", "/function/hello", nil))
		assert.Equal(t, c.status, w.Code, c.class)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.NotEmpty(t, w.Header().Get("Server-Timing"))
		e := errorOf(t, w.Body.String())
		assert.Equal(t, platformError{Component: "router", Class: c.class.Error(), Reason: "some reason", Next: "do this",
			RequestID: w.Header().Get("X-Request-Id"), RetryAfter: e.RetryAfter}, e)
		assert.Equal(t, c.retry, w.Header().Get("Retry-After") != "")
		assert.Equal(t, c.retry, e.RetryAfter == 1)
	}
	w := record(func(context.Context, *faas.Request) (*faas.Response, error) {
		return nil, &faas.Error{Class: faas.ErrExhausted, RetryAfter: 2500 * time.Millisecond}
	}, nil, httptest.NewRequest("HEAD", "/function/hello", nil))
	assert.Equal(t, "3", w.Header().Get("Retry-After"))
	assert.Empty(t, w.Body.String(), "HEAD")
}

func TestErrorsHidePaths(t *testing.T) {
	for _, secret := range []string{
		"open /var/lib/joinery/code: no such file", `dial unix @->/run/x.sock: refused`, `exec "/opt/x"`, "/etc/x", "url=/x",
	} {
		w := record(func(context.Context, *faas.Request) (*faas.Response, error) {
			return nil, &faas.Error{Component: "driver", Class: faas.ErrFunction, Err: errors.New(secret), Next: "look at " + secret}
		}, nil, httptest.NewRequest("GET", "/function/hello", nil))
		assert.Equal(t, http.StatusBadGateway, w.Code)
		assert.NotContains(t, w.Body.String(), secret)
		assert.Contains(t, errorOf(t, w.Body.String()).Reason, "function error")
	}
	w := record(func(context.Context, *faas.Request) (*faas.Response, error) {
		return nil, faas.Errorf("registry", "get", "", faas.ErrNotFound, `no function "default/hello" 10/s`)
	}, nil, httptest.NewRequest("GET", "/function/hello", nil))
	assert.Equal(t, `no function "default/hello" 10/s`, errorOf(t, w.Body.String()).Reason)
}

func TestBrokenResponses(t *testing.T) {
	for _, resp := range []*faas.Response{nil, {Status: 99}, {Status: 101}, {Status: 1000}, {Status: -1}} {
		w := record(func(context.Context, *faas.Request) (*faas.Response, error) { return resp, nil }, nil,
			httptest.NewRequest("GET", "/function/hello", nil))
		assert.Equal(t, http.StatusBadGateway, w.Code)
	}
}

func TestResponseIsPassedOn(t *testing.T) {
	address := serve(t, func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		code, err := strconv.Atoi(strings.Trim(req.Path, "/"))
		require.NoError(t, err)
		return &faas.Response{Status: code, Header: http.Header{
			"Set-Cookie": {"a=1", "b=2"}, "Content-Type": {"text/x"}, "Server-Timing": {"db;dur=3"}, "Connection": {"X-Hop"}, "X-Hop": {"1"},
			"Transfer-Encoding": {"chunked"}, "X-Joinery-Secret": {"1"}, "X-Split": {"a\r\nX-Injected: 1"}, "Content-Length": {"99"}, "Upgrade": {"x"},
		}, Body: faas.String("hi")}, nil
	}, nil)
	for _, code := range []int{200, 201, 302, 404, 500, 599} {
		resp, body := send(t, address, "GET /function/hello/"+strconv.Itoa(code)+" HTTP/1.1\r\nHost: x\r\n\r\n")
		assert.Equal(t, code, resp.StatusCode)
		assert.Equal(t, "hi", body)
		assert.Equal(t, int64(2), resp.ContentLength)
		assert.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
		assert.Equal(t, "text/x", resp.Header.Get("Content-Type"))
		require.Len(t, resp.Header["Server-Timing"], 2)
		assert.Equal(t, "db;dur=3", resp.Header["Server-Timing"][1])
		for _, k := range []string{"X-Hop", "X-Joinery-Secret", "X-Injected", "Upgrade", "Connection"} {
			assert.NotContains(t, resp.Header, k)
		}
	}
	for _, code := range []string{"204", "304"} {
		_, body := send(t, address, "GET /function/hello/"+code+" HTTP/1.1\r\nHost: x\r\n\r\n")
		assert.Empty(t, body)
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-derived.Done()
			assert.ErrorIs(t, derived.Err(), context.DeadlineExceeded)
			return nil, faas.ContextError(ctx, "router", "invoke", "x")
		}
		start := time.Now()
		front := httpfront.New(faas.InvokerFunc(wait), &httpfront.Options{Timeout: 3 * time.Second})
		for i := range 3 {
			w := httptest.NewRecorder()
			front.ServeHTTP(w, httptest.NewRequest("GET", "/function/hello", nil))
			assert.Equal(t, http.StatusGatewayTimeout, w.Code)
			assert.Equal(t, time.Duration(i+1)*3*time.Second, time.Since(start))
		}
		start = time.Now()
		for _, asked := range []time.Duration{time.Second, time.Hour} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/function/hello", nil)
			r.Header.Set("X-Request-Deadline", strconv.FormatInt(time.Now().Add(asked).UnixMilli(), 10))
			front.ServeHTTP(w, r)
			assert.Equal(t, http.StatusGatewayTimeout, w.Code)
		}
		assert.Equal(t, 4*time.Second, time.Since(start), "it shortens the deadline and never extends it")
	})
	for _, bad := range []string{"", "x", "-1", "1.5", "99999999999999999999"} {
		r := httptest.NewRequest("GET", "/function/hello", nil)
		r.Header["X-Request-Deadline"] = []string{bad}
		assert.Equal(t, http.StatusBadRequest, record(echo(nil), nil, r).Code, bad)
	}
}

func TestNoDeadline(t *testing.T) {
	var got seen
	record(echo(&got), &httpfront.Options{Timeout: -1}, httptest.NewRequest("GET", "/function/hello", nil))
	assert.False(t, got.deadline)
}

func TestBodyLimit(t *testing.T) {
	address := serve(t, echo(nil), &httpfront.Options{MaxBody: 100_000})
	for _, c := range []struct {
		size    int
		chunked bool
		status  int
	}{
		{0, false, 200}, {100, false, 200}, {64 << 10, false, 200}, {64<<10 + 1, false, 200}, {100_000, false, 200}, {100_001, false, 413},
		{100, true, 200}, {100_000, true, 200}, {100_001, true, 413}, {1 << 20, true, 413},
	} {
		body := io.Reader(strings.NewReader(strings.Repeat("x", c.size)))
		if c.chunked {
			body = io.MultiReader(body)
		}
		req, err := http.NewRequest("POST", (&url.URL{Scheme: "http", Host: address, Path: "/function/hello"}).String(), body)
		require.NoError(t, err)
		tr := &http.Transport{}
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err, "%+v", c)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		tr.CloseIdleConnections()
		assert.Equal(t, c.status, resp.StatusCode, "%+v", c)
		if c.status == 200 {
			assert.Len(t, b, c.size)
		}
		assert.True(t, resp.Close || !c.chunked, "a chunked request ends its connection: %+v", c)
	}
}
