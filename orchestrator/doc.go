// Package orchestrator is the contract of the resource orchestration layer of
// the SPEC-RG reference architecture:
//
//	R1 naming service     NamingService: names to values, with leases and watch
//	R2 resource manager   ResourceManager: makes what runs conform with what is wanted
//	R3 resource scheduler Scheduler: decides on which node
//	R4 node agent         NodeAgent: executes on one node, through a driver
//
// The unit of work is a [Workload]: one instance of something. Desired and observed
// state are records in the naming service (see records.go), and manager and agents
// are level-triggered loops over them, so that a crash anywhere is one more
// reconciliation.
//
// Implementations are sub-packages: memnaming (R1), cluster (R2 and R4), spread and
// binpack (R3), driver/... (what agents start things with). orchestratortest has
// the conformance kits. A platform may delegate the whole layer: whatever
// implements ResourceManager will do.
//
// A scheduler of one's own is most easily a [FilterScore]: filters that reject nodes
// and say why, scores that weigh the rest. StandardFilters are those that every scheduler must
// observe, with the placement constraints of Marathon among them (OpUnique, OpCluster, ...).
//
// # Snippet
//
//	names := memnaming.New(nil)
//	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
//	agent, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: node, Drivers: []driver.Driver{d}})
//	go manager.Run(ctx)
//	go agent.Run(ctx)
//	err = manager.Apply(ctx, orchestrator.Workload{ID: "i1", Driver: "proc", ...})
//
// # Errors
//
// The classes of package faas.
//
// # Concurrency
//
// All methods of all interfaces are safe for concurrent use.
package orchestrator
