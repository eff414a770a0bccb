package memrouter

import (
	"errors"
	"log/slog"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router"
)

// Config of New. Resolver and Deployer are required; the zero value of everything else is
// the documented default.
type Config struct {
	// Resolver finds functions. If it also has the List and Watch of registry.Functions, the
	// router follows its changes: a moved alias, a new version or a deletion holds at
	// once. Otherwise a cached resolution may be up to ResolveFor old.
	Resolver router.Resolver
	// Deployer starts instances.
	Deployer deployer.Deployer

	// QueueDepth is how many requests may wait for one function version. Zero: DefaultQueueDepth.
	QueueDepth int
	// QueueBytes bounds the bodies in hand of the requests that wait for one function
	// version; a queue that is empty takes a request of any size. Zero: DefaultQueueBytes.
	QueueBytes int64
	// MaxInstances bounds the instances of a function whose Scale.Max is zero. Zero: DefaultMaxInstances.
	MaxInstances int

	// EjectAfter failures in a row (not reached, crashed, contract broken) an instance is ejected,
	// if others answered meanwhile. Zero: DefaultEjectAfter.
	EjectAfter int
	// EjectSilent is how long an instance with requests in flight may answer none of them
	// while others answer. Zero: DefaultEjectSilent.
	EjectSilent time.Duration
	// EjectFor is how long an instance is ejected the first time; it doubles each time in a row. Zero: DefaultEjectFor.
	EjectFor time.Duration

	// DrainTimeout bounds how long a drained instance may finish its requests where the function has
	// no Timeout of its own to do so. Zero: DefaultDrainTimeout.
	DrainTimeout time.Duration
	// ResolveFor is how long a resolution is cached where the Resolver cannot be watched. Zero: DefaultResolveFor.
	ResolveFor time.Duration
	// Events is how many decisions are kept (see Router.Events). Zero: DefaultEvents.
	Events int
	// Logger gets a line for each instance that comes, fails or goes. Nil: none.
	Logger *slog.Logger
}

// Defaults of Config.
const (
	DefaultQueueDepth   = 10_000
	DefaultQueueBytes   = 64 << 20
	DefaultMaxInstances = 1000
	DefaultEjectAfter   = 5
	DefaultEjectSilent  = 2 * time.Second
	DefaultEjectFor     = time.Second
	DefaultDrainTimeout = 5 * time.Minute
	DefaultResolveFor   = time.Second
	DefaultEvents       = 1024
)

const (
	maxSlots       = 1 << 30                // of one instance
	maxTries       = 3                      // of a request that never reached an instance
	firstBackoff   = 2 * time.Second        // after a failed start; doubled each time in a row: at most 3 starts in 10 s
	maxBackoff     = time.Minute            // at the longest
	minWatchPause  = 100 * time.Millisecond // until an interrupted watch is tried again; doubled each time
	maxStrikes     = 3                      // ejections in a row until an instance is given up
	maxEject       = 30 * time.Second       // at the longest
	maxDoublings   = 10                     // of any pause
	turnovers      = 8                      // of the others' requests, until silence means something
	checkEvery     = 500 * time.Millisecond // looks after hung and ejected instances
	sweepEvery     = 10 * time.Second       // looks for functions to forget
	forgetAfter    = time.Minute            // without instances, requests or a wish for any
	fullRetryAfter = time.Second            // what a full queue advises
	stopSlack      = 10 * time.Second       // for Stop, beyond the function's grace
	drainSlack     = time.Second            // for an answer on its way, beyond the function's timeout
	cutSlack       = 5 * time.Second        // for parts that return late after they were cancelled
)

// withDefaults validates c and fills in the defaults.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("router", "configure", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if c.Resolver == nil {
		bad("Resolver", "is required")
	}
	if c.Deployer == nil {
		bad("Deployer", "is required")
	}
	whole(&c.QueueDepth, DefaultQueueDepth, "QueueDepth", bad)
	whole(&c.QueueBytes, DefaultQueueBytes, "QueueBytes", bad)
	whole(&c.MaxInstances, DefaultMaxInstances, "MaxInstances", bad)
	whole(&c.EjectAfter, DefaultEjectAfter, "EjectAfter", bad)
	whole(&c.EjectSilent, DefaultEjectSilent, "EjectSilent", bad)
	whole(&c.EjectFor, DefaultEjectFor, "EjectFor", bad)
	whole(&c.DrainTimeout, DefaultDrainTimeout, "DrainTimeout", bad)
	whole(&c.ResolveFor, DefaultResolveFor, "ResolveFor", bad)
	whole(&c.Events, DefaultEvents, "Events", bad)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}

func whole[T int | int64 | time.Duration](v *T, def T, field string, bad func(field, rule string)) {
	if *v < 0 {
		bad(field, "is negative")
	} else if *v == 0 {
		*v = def
	}
}
