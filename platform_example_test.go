package faas_test

import (
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/router/memrouter"
)

// A whole platform, from the naming service to the router, for one function in
// the process.
func Example_platform() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	hello := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		return &faas.Response{Body: faas.String("hello, " + req.Query)}, nil
	})

	functions := memregistry.New(nil)
	names := memnaming.New(nil)
	manager, _ := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	handlers := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
	agent, _ := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "here"},
		Drivers: []driver.Driver{handlers}})
	go manager.Run(ctx)
	go agent.Run(ctx)
	deploy, _ := workloaddeployer.New(workloaddeployer.Config{Resources: manager,
		Connectors: map[string]deployer.Connector{"handler": handlers}})
	route, _ := memrouter.New(memrouter.Config{Resolver: functions, Deployer: deploy})
	route.Start(ctx)
	defer route.Shutdown(ctx)

	functions.Publish(ctx, faas.Ref{Name: "hello"}, faas.Spec{Contract: faas.ContractHandler, Command: []string{"hello"}}, nil)
	resp, err := route.Invoke(ctx, &faas.Request{Function: faas.Ref{Name: "hello"}, Query: "world"})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := resp.Body.Text()
	fmt.Println(text)
	// Output: hello, world
}
