// Package workflow is the contract of the workflow composition layer of the SPEC-RG
// reference architecture: W1 workflow registry ([Registry]), W2 workflow engine
// ([Engine]), W3 workflow scheduler ([Scheduler]), W4 workflow execution storage ([Store]),
// and between them the [Program], what a definition in some language is compiled to.
// It needs nothing of a platform but a faas.Invoker, so it also runs over somebody
// else's functions.
//
// An execution is a fold over its log. The log holds facts from outside alone: the
// start, the outcome of each step, a signal, a cancellation. A [Program] is a pure
// function that folds one [Event] into its state and answers with [Command]s: call this
// function, set this timer, succeed with this output. So the engine knows no language, a
// language knows no storage, a snapshot may be taken after any event, and recovery is
// the fold again. An event is durable before any command that follows from it is acted on.
//
// Implementations are sub-packages. Languages: dag, fission, durable, schedule. Engine: engine.
// Schedulers: fifo, criticalpath. Stores: memstore, pebblestore. Registries:
// memdefinitions, dirdefinitions. Conformance kits: programtest, schedulertest,
// storetest, definitionstest. Package history shows an execution to people.
//
// # Snippet
//
//	languages, err := workflow.NewLanguages(dag.Language())
//	registry, err := memdefinitions.New(languages)
//	eng, err := engine.New(engine.Config{
//		Functions: invoker, // any faas.Invoker
//		Registry:  registry,
//		Languages: languages,
//		Scheduler: fifo.New(nil),
//		Express:   memstore.New(nil),
//	})
//	err = eng.Recover(ctx)
//	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: "report"}, Input: workflow.JSON(`{"n": 3}`)})
//	x, err := eng.Wait(ctx, ref) // x.Status, x.Output
//
// # Errors
//
// The classes of package faas; each method says which. How a step or an execution
// failed is not an error of a method but data: a [Failure].
//
// # Concurrency
//
// Registries, engines and stores are safe for concurrent use. Programs are pure and
// may be shared; a State belongs to one goroutine at a time. A Scheduler is called by one
// goroutine at a time.
package workflow
