// Package platform wires one platform on this machine for the commands that
// measure (internal/bench, internal/fault). Embedders wire their own: see examples/main.go.
package platform

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/internal/archive"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/memregistry"
	"github.com/joinery/faas/router/memrouter"
)

// Config of a Platform.
type Config struct {
	// Handlers are the in-process functions by name.
	Handlers map[string]faas.Invoker
	// Driver returns the driver of instances outside of this process; it may write below dir. Nil: procdriver.
	Driver func(dir string) (driver.Driver, error)
	// Router is completed with the platform's own resolver and deployer.
	Router memrouter.Config
}

// Platform is everything up to the router (F5) on one node.
type Platform struct {
	Registry  *memregistry.Registry
	Code      *memcode.Store
	Names     *memnaming.Service
	Manager   *cluster.Manager
	Handlers  *memdriver.Driver
	Instances driver.Driver
	Deployer  *workloaddeployer.Deployer
	Router    *memrouter.Router
	// Dir holds everything that the platform writes.
	Dir string

	cancel context.CancelFunc
	loops  errgroup.Group
}

// Start wires a platform and starts it.
func Start(cfg Config) (p *Platform, err error) {
	p = &Platform{Registry: memregistry.New(nil), Code: memcode.New(nil), Names: memnaming.New(nil)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
			p = nil
		}
	}()
	if p.Dir, err = os.MkdirTemp("", "joinery-"); err != nil {
		return p, err
	}
	if p.Manager, err = cluster.NewManager(cluster.ManagerConfig{Naming: p.Names, Scheduler: spread.New()}); err != nil {
		return p, err
	}
	p.loops.Go(func() error { return p.Manager.Run(ctx) })
	p.Handlers = memdriver.New(&memdriver.Options{Handlers: cfg.Handlers})
	if cfg.Driver == nil {
		cfg.Driver = func(dir string) (driver.Driver, error) {
			return procdriver.New(&procdriver.Options{Dir: filepath.Join(dir, "instances")})
		}
	}
	if p.Instances, err = cfg.Driver(p.Dir); err != nil {
		return p, err
	}
	agent, err := cluster.NewAgent(cluster.AgentConfig{
		Naming: p.Names, Node: orchestrator.Node{Name: "n1"},
		Drivers: []driver.Driver{p.Handlers, p.Instances},
		Code:    p.Code, CodeDir: filepath.Join(p.Dir, "code"),
	})
	if err != nil {
		return p, err
	}
	p.loops.Go(func() error { return agent.Run(ctx) })
	overHTTP := httpinstance.New(nil)
	if p.Deployer, err = workloaddeployer.New(workloaddeployer.Config{
		Resources:  p.Manager,
		Connectors: map[string]deployer.Connector{"handler": p.Handlers, "unix": overHTTP, "tcp": overHTTP},
	}); err != nil {
		return p, err
	}
	cfg.Router.Resolver, cfg.Router.Deployer = p.Registry, p.Deployer
	if p.Router, err = memrouter.New(cfg.Router); err != nil {
		return p, err
	}
	return p, p.Router.Start(ctx)
}

// Publish publishes a function of one word and returns its reference.
func (p *Platform) Publish(name string, spec faas.Spec) (faas.Ref, error) {
	fn, err := p.Registry.Publish(context.Background(), faas.Ref{Name: name}, spec, nil)
	return fn.Ref, err
}

// PublishProgram publishes a function that runs the program with the arguments:
// its code is an archive of just that file.
func (p *Platform) PublishProgram(name, program string, args []string, spec faas.Spec) (faas.Ref, error) {
	dir, err := os.MkdirTemp(p.Dir, "pack-")
	if err != nil {
		return faas.Ref{}, err
	}
	defer os.RemoveAll(dir)
	content, err := os.ReadFile(program)
	if err != nil {
		return faas.Ref{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "function"), content, 0o755); err != nil {
		return faas.Ref{}, err
	}
	var packed bytes.Buffer
	if err := archive.PackTar(context.Background(), &packed, dir); err != nil {
		return faas.Ref{}, err
	}
	blob, err := p.Code.Put(context.Background(), &packed)
	if err != nil {
		return faas.Ref{}, err
	}
	spec.Code, spec.Command = blob.Digest, append([]string{"./function"}, args...)
	return p.Publish(name, spec)
}

// ScaleToZero takes every instance of the function away and waits until the resource
// manager knows no workload any more.
func (p *Platform) ScaleToZero(ctx context.Context, ref faas.Ref) error {
	if err := p.Router.Scale(ctx, ref, 0, "measurement"); err != nil {
		return err
	}
	return p.WaitForNoWorkload(ctx)
}

// WaitForNoWorkload waits until the resource manager knows no workload any more.
func (p *Platform) WaitForNoWorkload(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if list, err := p.Manager.List(ctx); err != nil || len(list) == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return faas.ContextError(ctx, "platform", "wait for no workload", "")
		}
	}
}

// Close takes the platform down: router, instances, loops, drivers.
func (p *Platform) Close() error {
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	var errs []error
	if p.Router != nil {
		errs = append(errs, p.Router.Shutdown(ctx))
	}
	p.cancel()
	errs = append(errs, p.loops.Wait())
	if p.Handlers != nil {
		errs = append(errs, p.Handlers.Close())
	}
	if p.Instances != nil {
		errs = append(errs, p.Instances.Close())
	}
	errs = append(errs, p.Names.Close(), p.Registry.Close(), p.Code.Close(), os.RemoveAll(p.Dir))
	return errors.Join(errs...)
}
