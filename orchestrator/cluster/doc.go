// Package cluster is the resource manager (R2) and the node agent (R4) of the SPEC-RG
// reference architecture, for one process or many over one naming service.
//
// Both are level-triggered: they look at the records in the naming service (see
// package orchestrator), compare what is with what should be, and make the next
// change. Nothing they hold in memory is more than a cache, so a crash anywhere is one
// more reconciliation. Nothing polls: every step follows from a change of a record, an
// event of a driver, or one timer (a backoff, a lease).
//
//   - [Manager] implements orchestrator.ResourceManager. Several may run over one naming
//     service: one of them decides, the others stand by and answer.
//   - [Agent] implements orchestrator.NodeAgent. Several may run in one process.
//
// # Snippet
//
//	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
//	agent, err := cluster.NewAgent(cluster.AgentConfig{
//		Naming:  names,
//		Node:    orchestrator.Node{Name: "n1", Capacity: faas.Resources{MilliCPU: 2000}},
//		Drivers: []driver.Driver{memdriver.New(&memdriver.Options{Handlers: handlers})},
//	})
//	go manager.Run(ctx)
//	go agent.Run(ctx)
//	err = manager.Apply(ctx, orchestrator.Workload{ID: "i1", Driver: "mem", ...})
//
// # Errors
//
// As orchestrator.ResourceManager and orchestrator.NodeAgent promise; the components
// are "resource manager" and "node agent".
//
// # Concurrency
//
// All methods are safe for concurrent use.
package cluster
