// Package faas holds the words that every component of a function-as-a-service
// platform shares: a [Function] and its [Ref], a [Request] and its [Response],
// the [Invoker] that turns the one into the other, the [Instance] that runs it,
// and one closed set of error classes.
//
// Joinery implements the SPEC-RG reference architecture for FaaS (van Eyk et
// al., IEEE Internet Computing 2019). Each box of that architecture is a package
// of its own, below this one:
//
//	registry      F1 function registry: metadata and code store
//	builder       F2 function builder: sources to deployable functions
//	deployer      F3 function deployer and F4 function instance
//	router        F5 function router: queues and routes requests
//	autoscaler    F6 function autoscaler
//	orchestrator  R1 naming service, R2 resource manager, R3 resource scheduler,
//	              R4 node agent, and the driver contract below them
//	workflow      W1-W4 workflow registry, engine, scheduler, storage
//
// Each of them holds a contract; implementations are sub-packages (for instance
// registry/memregistry) and each contract has a conformance kit (for instance
// registry/registrytest). examples/main.go wires one whole platform by hand.
//
// This package imports only the standard library and nothing of the project.
//
// # Snippet
//
// The smallest function, called without any platform at all:
//
//	hello := faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
//		return &faas.Response{Body: faas.String("hello")}, nil
//	})
//	resp, err := hello.Invoke(ctx, &faas.Request{Function: faas.Ref{Name: "hello"}})
//
// # Errors
//
// Every error that leaves a component belongs to at least one class ([ErrNotFound],
// [ErrExhausted], ...), to be tested with errors.Is; see errors.go for the list.
//
// # Concurrency
//
// Values of this package are plain data: safe to read concurrently, not to write.
package faas
