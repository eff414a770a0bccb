package httpinstance_test

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/orchestrator/driver"
)

func ExampleNew() {
	// Stands for an instance that a driver started.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	function := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s of %s", r.URL.Path, r.Host)
	})}
	go function.Serve(ln)
	defer function.Close()

	c := httpinstance.New(nil)
	inv, err := c.Connect(context.Background(), faas.Function{Ref: faas.Ref{Name: "hello"}},
		driver.Endpoint{Network: "tcp", Address: ln.Addr().String()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inv.Close()
	resp, err := inv.Invoke(context.Background(), &faas.Request{Method: "GET", Path: "/greeting"})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := resp.Body.Text()
	fmt.Println(resp.Status, text, err)
	// Output: 200 /greeting of hello.default <nil>
}
