// Package durable is a workflow.Language (for W1 and W2 of the reference architecture): workflows written as Go
// functions, whose progress survives the process.
//
//	func approve(ctx durable.Context, order Order) (string, error) {
//		quote, err := durable.Call[Quote](ctx, faas.Ref{Name: "quote"}, order, nil).Get()
//		if err != nil {
//			return "", err
//		}
//		ok, err := durable.Receive[bool](ctx, "approve", 48*time.Hour).Get()
//		switch {
//		case errors.Is(err, faas.ErrTimeout):
//			return "nobody answered", nil
//		case err != nil:
//			return "", err
//		case !ok:
//			return "declined", nil
//		}
//		return durable.Call[string](ctx, faas.Ref{Name: "ship"}, quote, nil).Get()
//	}
//
//	code := durable.Workflow("approve", "1", approve)
//	lang, err := durable.New(nil, code)
//	languages, err := workflow.NewLanguages(lang)
//	_, err = registry.Register(ctx, code.Definition())
//
// # How it runs
//
// The function runs as a coroutine that waits, parked, for the outcomes of the steps it opened. An event wakes
// what waits for it, the code goes on to its next waits, and what it opened on the way are the commands of that
// event: the price of a step does not depend on how many went before. Only when the engine lets go of an
// execution, or starts anew, the code is run again from its beginning, and the log answers in place of the
// world. So the code must be deterministic:
//
//   - time is Context.Now and Context.Sleep, chance is Context.Random, concurrency is Go, Group, Map and Select of
//     this package: no clock, no math/rand, no go statement, no channel, no select;
//   - a loop over a map must not open steps, since its order is different each time;
//   - whatever is outside is reached by Call, Activity, Child and SideEffect.
//
// Step IDs are the name of what is called, numbered when there are several: "charge", "charge#2", "timer:1",
// "signal:approve", "child:ship", "activity:pack", "record:region".
//
// # Changing code
//
// An execution is bound to a version of its code. Give changed code a new version and keep
// the old one as long as it has executions; or guard the change with Context.Patched. Replay checks recorded
// histories against new code, in a test. Code that does not fit a history is found at the first outcome that it does
// not expect, and the execution is blocked, with an error that says what the history has and what the code did.
//
// # Redrive and fork
//
// A redrive of an execution that failed tries those steps again whose errors are in the error that the function returned (wrapped
// or joined), and keeps the rest, also the failures that the function dealt with. It is refused after a Saga has
// compensated. A fork does everything from one step on again, under the same seed.
//
// # Costs
//
// An event costs one to two microseconds and about eight allocations, whether it is the tenth or the hundred-thousandth. A recovery
// folds some hundred thousand events a second. An execution that waits holds its stack: some 6 KB, more for each coroutine.
//
// # Errors
//
// A workflow that returns an error fails: with the name of the *workflow.Failure in it, if there is
// one, else workflow.FailureFunction. One that panics, or waits for what cannot happen, fails with
// workflow.FailureProgram. Program.Step returns ErrConflict for a history that the code does not fit, ErrTimeout for
// code that runs longer than Options.Budget without waiting in this package; what blocks outside of it cannot be
// stopped, so its goroutines stay until it returns, and the execution is not run again before.
//
// # Concurrency
//
// Coroutines of one execution never run at the same time and switch only where one waits, so their
// variables need no lock. Values of this package belong to the execution that made them.
package durable
