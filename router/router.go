// Package router is the contract of the function router, F5 of the SPEC-RG
// reference architecture: it routes each request or event to an instance of its
// function, and queues them while none is available.
//
// memrouter is the implementation (its queues live in memory), httpfront the
// http.Handler in front of any faas.Invoker; routertest is the conformance kit.
//
// # Snippet
//
//	r, err := memrouter.New(memrouter.Config{Resolver: reg, Deployer: dep})
//	err = r.Start(ctx)
//	resp, err := r.Invoke(ctx, &faas.Request{Function: faas.Ref{Name: "hello"}})
//	http.ListenAndServe("127.0.0.1:8080", httpfront.New(r, nil))
//
// # Errors
//
// Invoke: ErrNotFound (no such function), ErrInvalidArgument, ErrExhausted (the queue is
// full; RetryAfter is set), ErrTimeout, ErrCanceled, ErrFunction, ErrUnavailable, ErrClosed. When no
// instance could be started: the class of the cause, mostly ErrFunction, and RetryAfter.
//
// # Concurrency
//
// All methods are safe for concurrent use.
package router

import (
	"context"
	"iter"
	"time"

	"github.com/joinery/faas"
)

// Router (F5) routes requests to instances. What it promises:
//
//   - late binding: a request is bound to a slot of an instance when that slot is free,
//     never before;
//   - a bounded FIFO queue for each function: by depth, by bytes and by the requests' deadlines;
//   - no instance has more requests in flight than its Concurrency; a streamed answer is in
//     flight until its body is closed or read to its end;
//   - cold-start coalescing: it starts ceil(waiting/Concurrency) instances less those
//     starting already, and never goes above Scale.Max, draining instances included. A start belongs to all
//     who wait: it is cancelled only when nobody waits and Scale does not ask for it;
//   - a failed start is told to all who wait, with its cause, unless other instances can serve
//     them; the next one is put off, and meanwhile callers are told the last cause and RetryAfter;
//   - among free instances it takes the one with the least outstanding requests;
//   - at most once: only a request that never reached an instance (ErrUnavailable of
//     Instance.Invoke), with its body in hand, is tried on another one;
//   - one deadline: the function's Timeout and the caller's, the earlier one, cover queue, start and run;
//   - an instance that has ended is not picked again; the last one is never set aside for its failures;
//   - an instance is drained before it is stopped: no request fails by a scale-down.
type Router interface {
	// Invoke routes the request and returns the function's answer. It adds the phases lookup,
	// queue and run to the request's Timing, and those of the start that the request waited for.
	faas.Invoker
	Scaler
	Observer
	// Start begins background work, such as following the registry. Before it, and
	// after Shutdown, Invoke returns ErrClosed.
	Start(ctx context.Context) error
	// Shutdown stops the intake, waits for the requests in flight and in the queues, then
	// stops every instance. When ctx ends it cuts short what still runs. Twice is nil.
	Shutdown(ctx context.Context) error
}

// Scaler is the face of a router towards the autoscaler (F6).
type Scaler interface {
	// Scale sets the wanted number of instances of one version of a function: it starts
	// those that are missing and drains those that are too many, the youngest idle first, and
	// returns without waiting. Requests in the queue may start more, up to Scale.Max. why is
	// kept with the decision. Errors: ErrNotFound, ErrInvalidArgument, ErrClosed.
	Scale(ctx context.Context, fn faas.Ref, instances int, why string) error
}

// Observer is the other half of that face: demand and supply.
type Observer interface {
	// Loads yields the present load of each version that has instances, has requests or
	// was scaled; an idle registered function costs nothing here.
	Loads() iter.Seq[Load]
}

// Load is the demand for one version of a function and its supply at one moment.
type Load struct {
	Function faas.Function
	// InFlight requests are being handled, Queued ones wait.
	InFlight, Queued int
	// Arrived and Completed count requests since the start.
	Arrived, Completed uint64
	// Ready instances take requests, Starting ones are on their way, Draining ones finish.
	Ready, Starting, Draining int
	// Wanted is what Scale was last told; -1: never.
	Wanted int
	// LastActive is when a request was last seen in flight or waiting (to the precision of a sample).
	LastActive time.Time
}

// Resolver finds functions; registry.Registry is one.
type Resolver interface {
	// Get resolves a version number, an alias or (empty) the latest version.
	Get(ctx context.Context, ref faas.Ref) (faas.Function, error)
}
