package memdriver_test

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
)

func ExampleNew() {
	ctx := context.Background()
	hello := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		name, err := req.Body.Text()
		return &faas.Response{Body: faas.String("hello, " + name)}, err
	})
	d := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
	defer d.Close()

	st, err := d.Start(ctx, driver.Task{ID: "i1", Contract: faas.ContractHandler, Command: []string{"hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	inst, err := d.Connect(ctx, faas.Function{}, st.Endpoint)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := inst.Invoke(ctx, &faas.Request{Body: faas.String("joiner")})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := resp.Body.Text()
	fmt.Println(text)
	fmt.Println(d.Stop(ctx, "i1", time.Second))
	// Output:
	// hello, joiner
	// <nil>
}
