// Command examples is a whole function-as-a-service platform in one file: every
// box of the SPEC-RG reference architecture, wired by hand. It builds and deploys
// three functions, feeds them real input, shows where the time of cold and warm
// calls goes, the scale-up under a burst and the scale to zero, and checks all of it.
//
//	go run ./examples          runs the demo
//	go run ./examples -serve   keeps the platform up and prints what to try with curl
//	go run ./examples -driver docker   runs the functions that are built as containers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/builder/pybuilder"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/deployer/workloaddeployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/memnaming"
	"github.com/joinery/faas/orchestrator/spread"
	"github.com/joinery/faas/registry/boltregistry"
	"github.com/joinery/faas/registry/dircode"
	"github.com/joinery/faas/router/httpfront"
	"github.com/joinery/faas/router/memrouter"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/dirdefinitions"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/memstore"
	"github.com/joinery/faas/workflow/pebblestore"
)

func main() {
	var o options
	flag.BoolVar(&o.serve, "serve", false, "keep the platform up after the demo")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "where the HTTP front listens")
	flag.StringVar(&o.driver, "driver", "proc", "what runs the functions that are built: proc or docker")
	flag.StringVar(&o.out, "out", os.TempDir(), "where the graphs of the workflows are written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "examples:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	addr, driver, out string
	serve             bool
}

// run wires the platform from the lowest floor to the highest, uses it, and takes
// it down in the opposite order.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "joinery-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var loops errgroup.Group
	background := func(run func(context.Context) error) { loops.Go(func() error { return run(work) }) }

	// F1 function registry: metadata on disk, code by content.
	functions, err := boltregistry.Open(filepath.Join(dir, "registry.db"), nil)
	if err != nil {
		return err
	}
	defer functions.Close()
	code, err := dircode.Open(filepath.Join(dir, "code"), nil)
	if err != nil {
		return err
	}
	defer code.Close()

	// R1 naming service: the state of the resource layer.
	names := memnaming.New(nil)
	defer names.Close()

	// R2 resource manager with an R3 scheduler that spreads instances over nodes.
	manager, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: spread.New()})
	if err != nil {
		return err
	}
	background(manager.Run)

	// R4 node agent: one node, with a driver for handlers in this process and one for processes or containers.
	handlers := memdriver.New(&memdriver.Options{Handlers: inProcess})
	defer handlers.Close()
	instances, err := openDriver(ctx, o.driver, dir)
	if err != nil {
		return err
	}
	defer instances.Close()
	agent, err := cluster.NewAgent(cluster.AgentConfig{
		Naming:  names,
		Node:    orchestrator.Node{Name: "here", Capacity: faas.Resources{MilliCPU: int64(runtime.NumCPU()) * 4000}},
		Drivers: []driver.Driver{handlers, instances},
		Code:    code, CodeDir: filepath.Join(dir, "unpacked"),
	})
	if err != nil {
		return err
	}
	background(agent.Run)

	// F3 function deployer, and how to talk to F4 function instances.
	overHTTP := httpinstance.New(nil)
	deploy, err := workloaddeployer.New(workloaddeployer.Config{
		Resources:  manager,
		Connectors: map[string]deployer.Connector{"handler": handlers, "unix": overHTTP, "tcp": overHTTP},
	})
	if err != nil {
		return err
	}

	// F5 function router, with an HTTP front.
	route, err := memrouter.New(memrouter.Config{Resolver: functions, Deployer: deploy})
	if err != nil {
		return err
	}
	if err := route.Start(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	front := httpfront.NewServer(httpfront.New(route, nil))
	loops.Go(func() error { return ignore(front.Serve(listener), http.ErrServerClosed) })

	// F6 function autoscaler: Knative's policy, at a pace that suits a demo.
	policy, err := concurrency.New(concurrency.Config{StableWindow: 6 * time.Second, PanicWindow: 20, ScaleToZeroGrace: time.Second})
	if err != nil {
		return err
	}
	scale, err := autoscaler.NewLoop(autoscaler.LoopConfig{
		Source: route, Target: route, Functions: functions,
		Policy: func(faas.Function) autoscaler.Policy { return policy },
	})
	if err != nil {
		return err
	}
	background(scale.Run)

	// F2 function builder: source to registered function.
	builders := map[string]builder.Builder{}
	if builders["go"], err = gobuilder.New(nil); err != nil {
		return err
	}
	switch python, err := pybuilder.New(nil); {
	case err != nil:
		fmt.Println("Without the Python function:", err)
	case o.driver == "docker":
		fmt.Println("Without the Python function: the empty image that containers start from has no Python")
	default:
		builders["python"] = python
	}
	build, err := builder.NewPipeline(builder.PipelineConfig{Builders: builders, Code: code, Registry: functions, WorkDir: dir})
	if err != nil {
		return err
	}

	// W1 workflow registry: definitions as DAGs and as Go code, in a directory.
	inGo, err := durable.New(nil, textsCode, thumbnailsCode)
	if err != nil {
		return err
	}
	languages, err := workflow.NewLanguages(dag.Language(), inGo)
	if err != nil {
		return err
	}
	definitions, err := dirdefinitions.Open(filepath.Join(dir, "workflows"), languages, nil)
	if err != nil {
		return err
	}
	defer definitions.Close()

	// W4 workflow execution storage: on disk for standard workflows, in memory for express ones.
	executions, err := pebblestore.Open(pebblestore.Config{Dir: filepath.Join(dir, "executions")})
	if err != nil {
		return err
	}
	defer executions.Close()
	express := memstore.New(nil)
	defer express.Close()

	// W3 workflow scheduler, which learns how long steps take, and W2 workflow engine.
	critical, err := criticalpath.New(criticalpath.Config{})
	if err != nil {
		return err
	}
	flows, err := engine.New(engine.Config{
		Functions: route, Registry: definitions, Languages: languages, Scheduler: critical,
		Store: executions, Express: express, Prewarm: prewarmer{functions, route},
	})
	if err != nil {
		return err
	}
	defer flows.Close()
	if err := flows.Recover(ctx); err != nil {
		return err
	}

	d := &demo{
		functions: functions, build: build, route: route, url: "http://" + listener.Addr().String(),
		definitions: definitions, languages: languages, flows: flows, out: o.out,
	}
	if o.driver == "docker" {
		d.contract = faas.ContractSocket // a listener cannot be handed into a container
	}
	err = d.run(ctx)
	if err == nil && o.serve {
		err = d.serve(ctx)
	}

	// Down again: stop the intake, drain, stop the instances, end the loops.
	end, done := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer done()
	err = errors.Join(err, front.Shutdown(end), flows.Shutdown(end), route.Shutdown(end))
	cancel()
	return errors.Join(err, loops.Wait())
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
