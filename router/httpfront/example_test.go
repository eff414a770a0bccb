package httpfront_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/joinery/faas"
	"github.com/joinery/faas/router/httpfront"
)

// Any Invoker can stand behind the front; a platform puts its router there.
var hello = faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
	return &faas.Response{Body: faas.String("hello from " + req.Function.String() + " at " + req.Path)}, nil
})

func ExampleNew() {
	front := httpfront.New(hello, nil)
	w := httptest.NewRecorder()
	front.ServeHTTP(w, httptest.NewRequest("GET", "/function/greeter.shop@live/morning", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 hello from shop/greeter@live at /morning
}

func ExampleNewServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := httpfront.NewServer(httpfront.New(hello, nil))
	go srv.Serve(ln)
	defer srv.Close()

	resp, err := http.Get("http://" + ln.Addr().String() + "/function/greeter")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(b), err)
	// Output: 200 hello from default/greeter at / <nil>
}
