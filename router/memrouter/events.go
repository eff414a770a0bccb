package memrouter

import (
	"time"

	"github.com/joinery/faas"
)

// Kind is what a decision or an observation of the router was about.
type Kind string

// The kinds of events, in the order of an instance's life.
const (
	Scaled         Kind = "scaled"          // Scale gave another number
	Starting       Kind = "starting"        // an instance is being deployed
	Ready          Kind = "ready"           // it takes requests: a cold start is over
	StartFailed    Kind = "start-failed"    // it could not be deployed
	StartCancelled Kind = "start-cancelled" // it was not needed any more
	Ejected        Kind = "ejected"         // it is not picked for a time
	Recovered      Kind = "recovered"       // it is picked again
	Draining       Kind = "draining"        // it finishes its requests
	Revived        Kind = "revived"         // it was draining and is needed again
	Stopping       Kind = "stopping"        // it is told to stop
	Ended          Kind = "ended"           // it is gone
	Deleted        Kind = "deleted"         // its function is gone from the registry
)

// Event is one decision with its reason.
type Event struct {
	Time     time.Time
	Function faas.Ref
	Kind     Kind
	// Instance is its id, where there is one already.
	Instance string
	// Instances is the number that Scale asked for.
	Instances int
	// Why explains the decision with its numbers.
	Why string
	// Timing holds the phases of a start (Ready, StartFailed); Took is its whole time.
	Timing faas.Timing
	Took   time.Duration
	// Err is the cause of a failure.
	Err error
}

func (f *function) record(ev Event) {
	ev.Time, ev.Function = time.Now(), f.fn.Ref
	f.r.events.Add(ev)
}

// Events returns the last decisions (Config.Events of them), the oldest first: for each
// start, stop, ejection and change of scale when, why, and for a cold start where its time went.
func (r *Router) Events() []Event { return r.events.All() }
