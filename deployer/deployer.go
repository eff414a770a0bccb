// Package deployer is the contract of the function deployer, F3 of the SPEC-RG
// reference architecture, and of the function instance, F4.
//
// A deployer combines the configuration in the function registry, the requester's
// parameters and other factors into a decision how an instance should be deployed
// (with which driver and with how many of which resources), delegates the doing to the
// resource orchestration layer, and returns the instance ready to be called.
//
// Implementations are sub-packages: workloaddeployer deploys onto any
// orchestrator.ResourceManager; httpinstance is the connector of the HTTP instance
// contracts. deployertest is the conformance kit.
//
// # Snippet
//
//	d, err := workloaddeployer.New(workloaddeployer.Config{
//		Resources:  manager,
//		Connectors: map[string]deployer.Connector{"unix": httpinstance.New(nil), "tcp": httpinstance.New(nil)},
//	})
//	inst, err := d.Deploy(ctx, fn, nil)
//	resp, err := inst.Invoke(ctx, req)
//	err = inst.Stop(ctx)
//
// # Errors
//
// The classes of package faas; see Deployer.
//
// # Concurrency
//
// All methods are safe for concurrent use.
package deployer

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Deployer (F3) deploys function instances. Anything that wraps one, such as a
// pool of prewarmed instances, is a Deployer again.
type Deployer interface {
	// Deploy starts one instance of fn and returns it ready. All or nothing: a failed
	// or cancelled Deploy leaves no instance behind. It records the phases decide, place,
	// start and init in the Timing that ctx carries (faas.TimingFrom).
	//
	// Errors: ErrInvalidArgument (function or options break a rule), ErrUnimplemented (no
	// driver offers what is asked: the error says what each one lacks), ErrExhausted (no
	// capacity), ErrFunction (it did not start, with ErrOutOfMemory where that is why), ErrTimeout
	// (not ready within StartTimeout), ErrCanceled, ErrUnavailable, ErrClosed.
	Deploy(ctx context.Context, fn faas.Function, o *Options) (faas.Instance, error)
}

// Decider is a Deployer's power to explain itself without deploying anything.
type Decider interface {
	// Decide returns the decision that Deploy would act on. Errors as of Deploy.
	Decide(ctx context.Context, fn faas.Function, o *Options) (Decision, error)
}

// Options are the requester's parameters; nil means none. A field that is set wins over the
// function's configuration, which wins over the deployer's defaults.
type Options struct {
	// Driver asks for a driver by name.
	Driver string
	// Env is added to the function's environment.
	Env map[string]string
	// Requests and Limits: each field that is not zero wins.
	Requests faas.Resources
	Limits   faas.Resources
	// Isolation: the higher of this and the function's own wins; it can only be raised.
	Isolation faas.Isolation
	// Constraints are added to the function's.
	Constraints []faas.Constraint
	// Labels are added to the function's.
	Labels map[string]string
}

// Decision is how an instance is to be deployed and why.
type Decision struct {
	// Driver is the chosen driver.
	Driver string
	// Contract is how the instance will be talked to.
	Contract faas.Contract
	// Requests are set aside, Limits enforced.
	Requests faas.Resources
	Limits   faas.Resources
	// Isolation is what the chosen driver gives.
	Isolation faas.Isolation
	// Reasons explain it, one short sentence each: which input decided what, and
	// why every other driver was not taken.
	Reasons []string
}

// Connector speaks an instance contract: it makes what a driver started callable.
type Connector interface {
	// Connect returns an Invoker for the instance at the endpoint. The Invoker's
	// Close frees its connections; it does not stop the instance. Connect itself may be lazy.
	//
	// The Invoker reports a request that certainly never reached the instance as
	// ErrUnavailable, and everything that may have reached it as ErrFunction,
	// ErrTimeout or ErrCanceled: the first may be tried elsewhere, the others not.
	Connect(ctx context.Context, fn faas.Function, ep driver.Endpoint) (faas.InvokeCloser, error)
}
