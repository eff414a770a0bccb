package cluster_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
)

func ExampleNewManager() {
	names := memnaming.New(nil)
	defer names.Close()
	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = manager.Run(ctx) })

	err = manager.Apply(ctx, orchestrator.Workload{ID: "i1", Driver: "mem", Contract: faas.ContractHandler, Command: []string{"hello"}})
	fmt.Println("applied:", err)
	for s, err := range manager.Watch(ctx) {
		if err != nil {
			panic(err)
		}
		if s.Error != nil { // there is no node yet
			fmt.Println(s.ID, s.Phase)
			break
		}
	}
	cancel()
	running.Wait()
	// Output:
	// applied: <nil>
	// i1 pending
}

func ExampleNewAgent() {
	names := memnaming.New(nil)
	defer names.Close()
	handlers := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
	defer handlers.Close()
	agent, err := cluster.NewAgent(cluster.AgentConfig{
		Naming:  names,
		Node:    orchestrator.Node{Name: "n1", Capacity: faas.Resources{MilliCPU: 2000}},
		Drivers: []driver.Driver{handlers},
	})
	if err != nil {
		panic(err)
	}
	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = agent.Run(ctx) })
	running.Go(func() { _ = manager.Run(ctx) })

	_ = manager.Apply(ctx, orchestrator.Workload{ID: "i1", Driver: "mem", Contract: faas.ContractHandler, Command: []string{"hello"}})
	for s, err := range manager.Watch(ctx) {
		if err != nil {
			panic(err)
		}
		if s.Phase == orchestrator.PhaseRunning {
			fmt.Println(s.ID, s.Phase, "on", s.Node)
			break
		}
	}
	cancel()
	running.Wait()
	// Output: i1 running on n1
}
