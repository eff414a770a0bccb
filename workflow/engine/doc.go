// Package engine is the workflow engine (W2) of the SPEC-RG reference architecture: it folds the
// logs of executions through their Programs, appends what happens to a store (W4), and acts on what follows once
// that is durable: calls functions in the order that a scheduler (W3) decides, sets timers, starts children.
//
// # Snippet
//
//	eng, err := engine.New(engine.Config{
//		Functions: invoker, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Express: memstore.New(nil),
//	})
//	err = eng.Recover(ctx) // takes up what an earlier process left open
//	defer eng.Shutdown(ctx)
//	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: "report"}})
//	x, err := eng.Wait(ctx, ref)
//
// # Promises
//
// A standard execution does nothing that its store does not have: each batch of events is durable before a
// function is called, a timer set or a caller answered because of it. Each step's outcome is recorded exactly once;
// attempts are at least once, each with the step's idempotency key and an attempt number that grows.
//
// # Errors
//
// As the contract says. When a store has no space, Start, Signal and Control are ErrExhausted, and what runs
// waits for space with its results in hand. When a store failed to make a write durable everything is
// ErrUnavailable until a new engine is started over the store opened anew; see Engine.Health.
//
// # Concurrency
//
// All methods are safe for concurrent use. Executions share no lock but the scheduler's; an idle one costs
// memory alone, no goroutine.
package engine
