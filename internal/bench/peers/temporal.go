package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"

	"github.com/joinery/faas/internal/bench/flow"
)

const (
	temporalQueue     = "bench"
	temporalNamespace = "default"
)

// temporalEngine is Temporal: its whole server on a SQLite file, a worker and a client.
type temporalEngine struct {
	server temporal.Server
	client client.Client
	worker worker.Worker
}

func startTemporal(dir string) (_ engine, err error) {
	cfg, err := temporalConfig(filepath.Join(dir, "temporal.sqlite"))
	if err != nil {
		return nil, err
	}
	// Nothing but the machine is to limit it.
	limits := dynamicconfig.StaticClient{}
	for _, setting := range []dynamicconfig.Key{
		dynamicconfig.FrontendRPS.Key(), dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(),
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(), dynamicconfig.HistoryRPS.Key(), dynamicconfig.MatchingRPS.Key(),
	} {
		limits[setting] = 1_000_000
	}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, service := range cfg.Services {
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(fmt.Sprintf("127.0.0.1:%d", service.RPC.GRPCPort))
	}
	e := &temporalEngine{}
	e.server, err = temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log.NewNoopLogger()),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithDynamicConfigClient(limits),
	)
	if err != nil {
		return nil, err
	}
	if err := e.server.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	e.client, err = client.Dial(client.Options{
		HostPort: cfg.PublicClient.HostPort, Namespace: temporalNamespace,
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return nil, err
	}
	w := worker.New(e.client, temporalQueue, worker.Options{})
	w.RegisterWorkflow(temporalSequence)
	w.RegisterWorkflow(temporalParallel)
	w.RegisterActivity(temporalStep)
	if err := w.Start(); err != nil {
		return nil, err
	}
	e.worker = w
	return e, nil
}

// Run implements flow.Engine.
func (e *temporalEngine) Run(ctx context.Context, t flow.Tree) (int, error) {
	definition := temporalSequence
	if t.Parallel {
		definition = temporalParallel
	}
	run, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: temporalQueue}, definition, t.Steps)
	if err != nil {
		return 0, err
	}
	var result int
	err = run.Get(ctx, &result)
	return result, err
}

func (e *temporalEngine) Close() error {
	if e.worker != nil {
		e.worker.Stop()
	}
	if e.client != nil {
		e.client.Close()
	}
	return e.server.Stop()
}

var temporalActivity = workflow.ActivityOptions{StartToCloseTimeout: time.Minute}

func temporalStep(_ context.Context, value int) (int, error) { return value, nil }

func temporalSequence(ctx workflow.Context, steps int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, temporalActivity)
	sum := 0
	for range steps {
		if err := workflow.ExecuteActivity(ctx, temporalStep, sum+1).Get(ctx, &sum); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func temporalParallel(ctx workflow.Context, steps int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, temporalActivity)
	branches := make([]workflow.Future, steps)
	for i := range branches {
		branches[i] = workflow.ExecuteActivity(ctx, temporalStep, i+1)
	}
	sum := 0
	for _, branch := range branches {
		var value int
		if err := branch.Get(ctx, &value); err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// temporalConfig is a server of one shard, as its development server has, on a SQLite
// file whose every commit is synchronous.
func temporalConfig(file string) (*config.Config, error) {
	store := &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: file,
		ConnectAttributes: map[string]string{
			"mode": "rwc", "journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000",
		},
	}
	if err := sqlite.SetupSchema(store); err != nil {
		return nil, err
	}
	namespace, err := sqlite.NewNamespaceConfig("active", temporalNamespace, false, nil)
	if err != nil {
		return nil, err
	}
	if err := sqlite.CreateNamespaces(store, namespace); err != nil {
		return nil, err
	}
	services := []primitives.ServiceName{
		primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
	}
	ports, err := freePorts(len(services) + 1)
	if err != nil {
		return nil, err
	}
	cfg := &config.Config{Services: map[string]config.Service{}}
	for i, name := range services {
		rpc := config.RPC{GRPCPort: ports[i], BindOnIP: "127.0.0.1"}
		if name == primitives.FrontendService {
			rpc.HTTPPort = ports[len(services)]
		}
		cfg.Services[string(name)] = config.Service{RPC: rpc}
	}
	frontend := fmt.Sprintf("127.0.0.1:%d", ports[0])
	cfg.Global.Membership.MaxJoinDuration = 30 * time.Second
	cfg.Global.Membership.BroadcastAddress = "127.0.0.1"
	cfg.Persistence = config.Persistence{
		DefaultStore: "sqlite", VisibilityStore: "sqlite", NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{"sqlite": {SQL: store}},
	}
	cfg.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
		ClusterInformation: map[string]cluster.ClusterInformation{
			"active": {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend, ClusterID: "bench"},
		},
	}
	cfg.DCRedirectionPolicy.Policy = "noop"
	cfg.Archival.History.State = "disabled"
	cfg.Archival.Visibility.State = "disabled"
	cfg.NamespaceDefaults.Archival.History.State = "disabled"
	cfg.NamespaceDefaults.Archival.Visibility.State = "disabled"
	cfg.PublicClient.HostPort = frontend
	return cfg, nil
}

func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
