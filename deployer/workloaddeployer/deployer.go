// Package workloaddeployer is a function deployer (F3 of the SPEC-RG reference
// architecture) onto any orchestrator.ResourceManager: it decides how an instance is to
// be deployed, has the resource manager run it as a workload, and connects to it.
//
// # How it decides
//
// Requests, limits, environment and labels: the requester's options win over the
// function's configuration, which wins over the deployer's defaults, field by field.
// Isolation is the higher of what function and requester ask for. Constraints of both hold.
//
// The driver is one of those that the cluster's nodes offer now. It must have the name
// asked for, if any, speak the function's contract, isolate enough, enforce every limit
// and, for a function with code, run code. Of those that do, the one that isolates the
// least is taken, for it costs the least; among equals the one whose name sorts first.
// Decide says all of this about one function, and the error of a Deploy that finds no
// driver says what each one lacks.
//
// # How it deploys
//
// Every instance is one workload that is not restarted; its ID begins with the
// function's name and is the ID of the instance, its group is the function's reference
// with the version. The environment has K_SERVICE, K_CONFIGURATION (the function's name)
// and K_REVISION (name and version), as Knative's runtime contract says; what the
// instance contract adds (PORT, ...) is the driver's. A workload that no node can take
// now fails the Deploy at once, with the scheduler's reasons; whoever wants to wait calls
// again. The phases recorded in the Timing sum up to the time that Deploy took.
//
// An instance that ended by itself is removed from the resource manager.
//
// # Snippet
//
//	d, err := workloaddeployer.New(workloaddeployer.Config{
//		Resources:  manager,
//		Connectors: map[string]deployer.Connector{"handler": memDriver, "unix": http, "tcp": http},
//	})
//	inst, err := d.Deploy(ctx, fn, nil)
//	resp, err := inst.Invoke(ctx, req)
//	err = inst.Stop(ctx)
//
// # Errors
//
// As deployer.Deployer says; the component is "function deployer".
//
// # Concurrency
//
// All methods are safe for concurrent use. While there is an instance one goroutine
// watches the resource manager for all of them; there is none before the first
// Deploy and none after the last instance is gone. An instance adds nothing to a call.
package workloaddeployer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/orchestrator"
)

const component = "function deployer"

const (
	// lateness is what Deploy waits beyond the start timeout, which the driver observes
	// too: its report says more than "too late".
	lateness = 2 * time.Second
	// cleanupBudget bounds how long a failed Deploy waits for the removal, which goes on in any case.
	cleanupBudget = 5 * time.Second
)

// Config of New.
type Config struct {
	// Resources (R2) runs the workloads. Required.
	Resources orchestrator.ResourceManager
	// Connectors make instances callable, by the network of their endpoint
	// (driver.Endpoint.Network): "unix", "tcp", "handler". At least one.
	Connectors map[string]deployer.Connector
	// Defaults apply where neither requester nor function says anything.
	Defaults Defaults
	// Logger receives decisions and ends at debug level and faults as warnings. Nil: discard.
	Logger *slog.Logger
}

// Defaults of functions that leave something open.
type Defaults struct {
	// Requests and Limits: each field for itself. Zero: none.
	Requests faas.Resources
	Limits   faas.Resources
	// StartTimeout bounds the time until an instance is ready. Zero: faas.DefaultStartTimeout.
	StartTimeout time.Duration
	// Grace is the time between the polite and the forced end. Zero: faas.DefaultGrace.
	Grace time.Duration
}

// Deployer deploys instances as workloads. Create it with New. It implements
// deployer.Deployer and deployer.Decider.
type Deployer struct {
	cfg     Config
	log     *slog.Logger
	offers  atomic.Pointer[offers]
	closing chan struct{}

	mu        sync.Mutex
	closed    bool
	instances map[string]*instance
	unwatch   context.CancelFunc // ends the watch; nil while there is no instance
}

var (
	_ deployer.Deployer = (*Deployer)(nil)
	_ deployer.Decider  = (*Deployer)(nil)
)

// New returns a deployer. Errors: ErrInvalidArgument, all faults at once.
func New(cfg Config) (*Deployer, error) {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, failf("configure", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if cfg.Resources == nil {
		bad("Resources", "is required")
	}
	if len(cfg.Connectors) == 0 {
		bad("Connectors", "is empty; without one no instance can be called")
	}
	for network, c := range cfg.Connectors {
		if c == nil {
			bad("Connectors", "the one of network "+network+" is nil")
		}
	}
	spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"defaults"}, Requests: cfg.Defaults.Requests,
		Limits: cfg.Defaults.Limits, StartTimeout: cfg.Defaults.StartTimeout, Grace: cfg.Defaults.Grace}
	if err := spec.Validate(); err != nil {
		errs = append(errs, &faas.Error{Component: component, Op: "configure", Key: "Defaults", Class: faas.ErrInvalidArgument, Err: err})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Connectors = maps.Clone(cfg.Connectors)
	cfg.Defaults.StartTimeout = cmp.Or(cfg.Defaults.StartTimeout, faas.DefaultStartTimeout)
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Deployer{cfg: cfg, log: log, closing: make(chan struct{}), instances: make(map[string]*instance)}, nil
}

// Deploy implements deployer.Deployer.
func (d *Deployer) Deploy(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
	begun := time.Now()
	inst, err := d.deploy(ctx, begun, fn, o)
	if err != nil {
		d.log.DebugContext(ctx, "not deployed", "function", fn.Ref, "error", err)
		return nil, err
	}
	return inst, nil
}

func (d *Deployer) deploy(ctx context.Context, begun time.Time, fn faas.Function, o *deployer.Options) (*instance, error) {
	const op = "deploy"
	key := fn.Ref.String()
	spec, err := d.combine(op, fn, o)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, spec.StartTimeout+lateness)
	defer cancel()
	late := func() error {
		if ctx.Err() != nil {
			return faas.ContextError(ctx, component, op, key)
		}
		return failf(op, key, faas.ErrTimeout, "the instance was not ready within %v", spec.StartTimeout)
	}

	choice, err := d.choose(bounded, op, key, &spec)
	if err != nil {
		if bounded.Err() != nil {
			err = late()
		}
		return nil, err
	}
	i := newInstance(d, workloadID(fn.Ref.Name))
	if err := d.register(i); err != nil {
		return nil, err
	}
	if d.log.Enabled(ctx, slog.LevelDebug) {
		d.log.DebugContext(ctx, "deploying", "function", fn.Ref, "instance", i.id, "reasons", d.reasons(fn, o, &spec, choice))
	}
	decided := time.Now()

	if err := d.cfg.Resources.Apply(bounded, workload(i.id, fn.Ref, &spec, choice.driver)); err != nil {
		switch faas.Class(err) {
		case faas.ErrInvalidArgument, faas.ErrAlreadyExists:
			i.forget() // it is not there, or not ours
		default:
			i.discard(true)
		}
		if bounded.Err() != nil {
			return nil, late()
		}
		return nil, failed(op, key, err)
	}
	i.applied.Store(true)

	var status orchestrator.Status
	select {
	case r := <-i.started:
		if r.err != nil {
			i.discard(false)
			return nil, failed(op, key, r.err)
		}
		status = r.status
	case <-bounded.Done():
		i.discard(true)
		return nil, late()
	case <-d.closing:
		i.discard(true)
		return nil, closedError(op, key)
	}

	connector := d.cfg.Connectors[status.Endpoint.Network]
	if connector == nil {
		i.discard(true)
		err := failf(op, key, faas.ErrUnimplemented, "there is no connector for the network %q of driver %q", status.Endpoint.Network, choice.driver)
		err.Next = "add it to Config.Connectors"
		return nil, err
	}
	invoker, err := connector.Connect(bounded, fn, status.Endpoint)
	if err != nil {
		i.discard(true)
		if bounded.Err() != nil {
			return nil, late()
		}
		return nil, failed(op, key, err)
	}
	if !i.connect(invoker) {
		_ = invoker.Close()
		if err = i.Err(); err == nil {
			err = closedError(op, key)
		}
		return nil, failed(op, key, err)
	}
	select {
	case <-d.closing: // Shutdown may not have seen that it is connected
		i.discard(true)
		return nil, closedError(op, key)
	default:
	}
	record(faas.TimingFrom(ctx), begun, decided, &status)
	return i, nil
}

// record accounts the time since begun. The moments in a status are by the clocks of
// others, so they only divide what passed here.
func record(t *faas.Timing, begun, decided time.Time, s *orchestrator.Status) {
	if t == nil {
		return
	}
	rest := time.Since(decided)
	take := func(p faas.Phase, from, to time.Time) {
		if part := min(to.Sub(from), rest); part > 0 && !from.IsZero() {
			t.Add(p, part)
			rest -= part
		}
	}
	t.Add(faas.PhaseDecide, decided.Sub(begun))
	take(faas.PhasePlace, s.Applied, s.Placed)
	take(faas.PhaseStart, s.Placed, s.Started)
	t.Add(faas.PhaseInit, rest)
}

// Shutdown refuses new instances, ends deployments under way, stops every instance that is left
// and waits until they are gone. When ctx ends it returns ErrTimeout or ErrCanceled and the ends go on.
// Deploy and Decide then return ErrClosed. Twice is allowed.
func (d *Deployer) Shutdown(ctx context.Context) error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.closing)
	}
	left := make([]*instance, 0, len(d.instances))
	for _, i := range d.instances {
		left = append(left, i)
	}
	d.mu.Unlock()
	errs := make([]error, len(left))
	var stops sync.WaitGroup
	for n, i := range left {
		stops.Go(func() { errs[n] = i.shutdown(ctx) })
	}
	stops.Wait()
	return errors.Join(errs...)
}

// register makes the instance one that the watch tells of what becomes of it, and
// starts the watch for the first.
func (d *Deployer) register(i *instance) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return closedError("deploy", i.id)
	}
	d.instances[i.id] = i
	if d.unwatch == nil {
		ctx, cancel := context.WithCancel(context.Background())
		d.unwatch = cancel
		go d.watch(ctx)
	}
	return nil
}

// unregister ends the watch after the last.
func (d *Deployer) unregister(i *instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.instances, i.id)
	if len(d.instances) == 0 && d.unwatch != nil {
		d.unwatch()
		d.unwatch = nil
	}
}

func failf(op, key string, class error, format string, args ...any) *faas.Error {
	return faas.Errorf(component, op, key, class, format, args...)
}

// failed says what the deployer was doing when something below it failed.
func failed(op, key string, err error) error {
	return &faas.Error{Component: component, Op: op, Key: key, Class: faas.Class(err), Err: err}
}

func closedError(op, key string) error {
	return failf(op, key, faas.ErrClosed, "the deployer was shut down")
}
