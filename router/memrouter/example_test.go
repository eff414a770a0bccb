package memrouter_test

import (
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/router/memrouter"
)

// A router over a registry and a deployer. Here the deployer makes instances of a Go function
// within the process; a platform passes a workloaddeployer.
func ExampleNew() {
	ctx := context.Background()
	reg := memregistry.New(nil)
	_, _ = reg.Publish(ctx, faas.Ref{Name: "hello"}, faas.Spec{
		Contract: faas.ContractHandler, Command: []string{"hello"}, Concurrency: 10,
	}, nil)
	dep := &inProcess{handler: func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		who, err := req.Body.Text()
		return &faas.Response{Body: faas.String("hello, " + who)}, err
	}}

	r, err := memrouter.New(memrouter.Config{Resolver: reg, Deployer: dep})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = r.Start(ctx)
	resp, err := r.Invoke(ctx, &faas.Request{Function: faas.Ref{Name: "hello"}, Body: faas.String("world")})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := resp.Body.Text()
	fmt.Println(text)
	_ = r.Shutdown(ctx)
	for _, ev := range r.Events() {
		fmt.Println(ev.Kind, ev.Function, ev.Why)
	}
	// Output:
	// hello, world
	// starting default/hello@1 1 waiting, 10 per instance, 0 ready, 0 starting
	// ready default/hello@1 1 waiting, 10 per instance, 0 ready, 0 starting
	// draining default/hello@1 the router shuts down (0 in flight)
	// stopping default/hello@1 nothing in flight
	// ended default/hello@1 it was stopped
}
