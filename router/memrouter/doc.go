// Package memrouter is the function router (F5 of the SPEC-RG reference
// architecture) with its queues in memory: it implements router.Router over any
// router.Resolver and any deployer.Deployer.
//
//	r, err := memrouter.New(memrouter.Config{Resolver: reg, Deployer: dep})
//	err = r.Start(ctx)
//	resp, err := r.Invoke(ctx, &faas.Request{Function: faas.Ref{Name: "hello"}})
//	err = r.Shutdown(ctx)
//
// # The warm path
//
// A warm call looks its function up in a cache that readers do not lock, takes a slot of the
// instance with the fewest requests in flight, calls it, and gives the slot back. It
// allocates nothing, and reads the clock only for a request that carries a Timing. For a function with a Timeout it
// makes a context of 64 bytes, whose timer is only started when somebody waits for it. An instance's slots are divided over a few shards, about one for each
// processor, so that processors that call the same function do not meet at a lock. So "the least busy
// instance" is exact within a shard, and for the whole function to within the number of shards (at most 16); ties go round.
//
// # The queue
//
// Where no slot is free the request waits in its function's queue, first in, first out, bounded by
// depth, by the bytes of bodies in hand, and by the request's own deadline. A slot that becomes free
// goes to the head of the queue; nobody overtakes it. A request that waits takes about 300 bytes besides its caller's stack.
//
// # Cold starts
//
// The queue asks for ceil(waiting/Concurrency) instances less those that are starting, within
// Scale.Max, which counts everything that exists, draining instances too. Until a version has started well once it
// is started one at a time, so that a function that cannot start is found out by one start and not by a thousand. A start
// belongs to nobody: it is cancelled only when nobody waits for it and Scale does not ask for it.
//
// A failed start is told to everybody who waits, unless other instances can serve them. The next one is
// tried after 2 s, then 4 s, doubling to one minute (three starts in the first ten seconds); meanwhile callers are told the
// last cause at once. Instances that end again and again before they have answered anything count as failed starts.
//
// # Health
//
// An instance is ejected after EjectAfter failures in a row (it could not be reached, crashed or
// broke its contract) or after it has answered none of its requests, two at least, for EjectSilent while the others answered eight times
// as many as they had in flight. Both only while other instances answer: a function that
// fails everywhere is not cured by having fewer instances, and the last one is never ejected. Then one request
// is let through as a probe, after a time that doubles; the third ejection in a row gives
// the instance up. One whose Done is closed is removed at once. Timeouts alone eject nobody.
//
// # Scaling down
//
// An instance is taken away from picking, finishes its requests, and only then is stopped. Until the stop has
// begun new demand puts it back to work. The draining is bounded by the function's Timeout, where that is zero by
// Config.DrainTimeout; of an instance that was given up by the function's Grace.
//
// Events explains each of these decisions.
//
// # Errors
//
// As package router says. An error of the resolver, the deployer or an instance keeps its class and is
// found with errors.Is; an instance that could not be started is reported with the class of its cause and a RetryAfter.
//
// # Concurrency
//
// All methods are safe for concurrent use. There is one goroutine for each instance, from its start to
// its end, and up to two for the router.
package memrouter
