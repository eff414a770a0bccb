package httpfront_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router/httpfront"
)

// sink is a ResponseWriter that keeps nothing but its header map.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// What the front itself adds to a request, without a server around it.
func BenchmarkServeHTTP(b *testing.B) {
	resp := &faas.Response{Body: faas.String("hello")}
	front := httpfront.New(faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { return resp, nil }), nil)
	payload := strings.NewReader("hello")
	r := httptest.NewRequest("POST", "/function/hello/path", nil)
	r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Content-Type": {"text/plain"}}
	r.ContentLength, r.Body = 5, io.NopCloser(payload)
	w := sink{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		payload.Reset("hello")
		clear(w.h)
		front.ServeHTTP(w, r)
	}
}
