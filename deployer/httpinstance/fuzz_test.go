package httpinstance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/httpfield"
	"github.com/joinery/faas/orchestrator/driver"
)

// script is a connection that answers with given bytes.
type script struct {
	net.Conn
	r io.Reader
}

func (s script) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s script) Write(p []byte) (int, error) { return len(p), nil }
func (s script) Close() error                { return nil }

// answer makes a call whose connection is the script.
func answer(t *testing.T, raw []byte) (*faas.Response, []byte, error) {
	inv, err := New(nil).Connect(t.Context(), faas.Function{Ref: faas.Ref{Name: "f"}}, driver.Endpoint{Network: "unix", Address: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer inv.Close()
	in := inv.(*instance)
	in.pool.put(newConn(script{r: bytes.NewReader(raw)}))
	resp, err := in.Invoke(t.Context(), &faas.Request{Method: "GET"})
	if err != nil {
		return nil, nil, err
	}
	b, err := resp.Body.ReadAll(1 << 20)
	return resp, b, err
}

// Whatever a function answers: no panic, only classed errors, and what is taken
// means the same to net/http.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\n\r\ntext", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n",
		"HTTP/1.1 304 Not\r\nContent-Length: 9\r\nconnection: close, x\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		resp, got, err := answer(t, raw)
		if err != nil {
			if !errors.Is(err, faas.ErrFunction) && !errors.Is(err, faas.ErrExhausted) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		if resp.Status < 200 || resp.Status > 599 {
			t.Fatalf("status %d", resp.Status)
		}
		for k, values := range resp.Header {
			k = strings.TrimPrefix(k, http.TrailerPrefix)
			if !httpfield.ValidToken(k) || endsHere(k) {
				t.Fatalf("header %q was let through", k)
			}
			for _, v := range values {
				if !httpfield.ValidValue(v) {
					t.Fatalf("header %q: %q was let through", k, v)
				}
			}
		}
		r := bufio.NewReader(bytes.NewReader(raw))
		for {
			std, err := http.ReadResponse(r, &http.Request{Method: "GET"})
			if err != nil {
				t.Fatalf("taken, but net/http says %v", err)
			}
			if std.StatusCode < 200 {
				continue
			}
			want, err := io.ReadAll(std.Body)
			if err != nil || std.StatusCode != resp.Status || !bytes.Equal(want, got) {
				t.Fatalf("taken as %d %q, but net/http reads %d %q, %v", resp.Status, got, std.StatusCode, want, err)
			}
			return
		}
	})
}

// Whatever a caller asks for: it is refused, or net/http reads exactly that request.
func FuzzRequestHead(f *testing.F) {
	f.Add("POST", "/a/b", "q=1", "X-A", "b", "id-1")
	f.Add("GET", "/", "", "Connection", "X-A, close", "")
	f.Add("G\r\n", "/a b", "#", "A\r\nB", "c\r\nd", "e\r\nf")
	f.Add("OPTIONS", "//x", "?", "transfer-encoding", "chunked", "\x00")
	f.Fuzz(func(t *testing.T, method, path, query, key, value, id string) {
		in := &instance{host: "f.default"}
		req := &faas.Request{Method: method, Path: path, Query: query, ID: id, Header: http.Header{key: {value}}, Body: faas.String("body")}
		head, err := in.appendHead(context.Background(), nil, req)
		if err != nil {
			if !errors.Is(err, faas.ErrInvalidArgument) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		std, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("body"))))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL escape") || strings.Contains(err.Error(), "parse ") {
				return // a target that net/http is stricter about
			}
			t.Fatalf("%q: %v", head, err)
		}
		b, err := io.ReadAll(std.Body)
		if err != nil || string(b) != "body" || std.Host != "f.default" {
			t.Fatalf("%q: read as host %q, body %q, %v", head, std.Host, b, err)
		}
		for k := range std.Header {
			switch {
			case k == "Content-Length", k == httpfield.RequestID && id != "":
			case !strings.EqualFold(k, key) || httpfield.HopByHop(k):
				t.Fatalf("%q: header %q appeared", head, k)
			}
		}
	})
}
