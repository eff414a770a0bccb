package httpfront

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/httpfield"
)

// Whatever the path: it leads to a valid name, or nowhere; and what the function
// sees is the end of what was sent.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/function/a", "/function/a.b@c/d?e", "/function/a/../b", "/function//", "/function/%61", "/function/a@.b", "//function/a/%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		escaped := u.EscapedPath()
		ref, path, err := parseRoute(escaped)
		if err != nil {
			if c := faas.Class(err); c != faas.ErrNotFound && c != faas.ErrInvalidArgument {
				t.Fatalf("class of %v", err)
			}
			return
		}
		if err := ref.Validate(); err != nil || ref.Namespace == "" {
			t.Fatalf("%q led to %+v: %v", target, ref, err)
		}
		if path[0] != '/' || (path != "/" && !strings.HasSuffix(escaped, path)) {
			t.Fatalf("%q became the path %q", target, path)
		}
	})
}

// Whatever a client's header holds: nothing of the platform's own comes through.
func FuzzHeader(f *testing.F) {
	f.Add("X-Joinery-Attempt", "1", "close", "a")
	f.Add("X-Auth", "secret", "X-Auth, close", "id-1")
	f.Add("X-Forwarded-For", "1.1.1.1", "", "a\"b")
	f.Add("Te", "trailers", "te", strings.Repeat("x", 200))
	f.Fuzz(func(t *testing.T, key, value, connection, id string) {
		key = http.CanonicalHeaderKey(key)
		r := httptest.NewRequest("GET", "/function/a", nil)
		r.Header = http.Header{"Connection": {connection}, "X-Request-Id": {id}}
		r.Header[key] = []string{value}
		front := New(faas.InvokerFunc(nil), nil)
		c := &call{header: http.Header{}}
		front.forward(c, r)
		for k, v := range c.header {
			switch {
			case k == "Forwarded", strings.HasPrefix(k, "X-Forwarded-"):
				if len(v) != 1 || (k == key && v[0] == value && value != "http" && value != r.Host && value != "192.0.2.1" && !strings.HasPrefix(value, "for=192.0.2.1")) {
					t.Fatalf("%s: %q came from the client", k, v)
				}
			case httpfield.HopByHop(k), httpfield.Internal(k), httpfield.Listed(r.Header["Connection"], k), k != key:
				t.Fatalf("%s: %q came through", k, v)
			}
		}
		if got := requestID(r.Header, time.Now()); !validID(got) {
			t.Fatalf("request id %q", got)
		}
	})
}
