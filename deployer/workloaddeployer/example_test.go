package workloaddeployer_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
)

// One node that runs Go handlers, and a deployer on it.
func ExampleNew() {
	handlers := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{
		"hello": faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
			return &faas.Response{Body: faas.String("hello")}, nil
		}),
	}})
	names := memnaming.New(nil)
	manager, _ := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	agent, _ := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "n1"}, Drivers: []driver.Driver{handlers}})
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { _ = manager.Run(ctx) })
	loops.Go(func() { _ = agent.Run(ctx) })
	defer loops.Wait()
	defer cancel()

	d, err := workloaddeployer.New(workloaddeployer.Config{
		Resources:  manager,
		Connectors: map[string]deployer.Connector{"handler": handlers},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Shutdown(ctx)

	fn := faas.Function{
		Ref:  faas.Ref{Namespace: "default", Name: "hello", Version: "1"},
		Spec: faas.Spec{Contract: faas.ContractHandler, Command: []string{"hello"}},
	}
	decision, _ := d.Decide(ctx, fn, &deployer.Options{Requests: faas.Resources{Memory: 64 << 20}})
	for _, reason := range decision.Reasons {
		fmt.Println(reason)
	}
	inst, err := d.Deploy(ctx, fn, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, _ := inst.Invoke(ctx, &faas.Request{Function: fn.Ref})
	fmt.Println(resp.Body.Text())
	// Output:
	// driver "mem": it offers the contract "handler" and isolates at L0 none, the least of those that will do
	// requests.memory 67108864: by the requester
	// hello <nil>
}
