//go:build linux

package procdriver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// Any program that reads stdin and writes stdout is a function.
func ExampleNew() {
	d, err := procdriver.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()

	ctx := context.Background()
	st, err := d.Start(ctx, driver.Task{ID: "upper-1", Contract: faas.ContractStdio, Command: []string{"tr", "a-z", "A-Z"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, st.Endpoint.Network, st.Endpoint.Address)
		}}}
	resp, err := client.Post("http://upper/", "text/plain", strings.NewReader("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	fmt.Println(d.Stop(ctx, "upper-1", 10*time.Second))
	// Output:
	// 200 HELLO
	// <nil>
}
