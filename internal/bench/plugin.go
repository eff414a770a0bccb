package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/bench/loop"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

const (
	roleIdlePlugin = "idle-plugin" // a driver that does nothing
	roleProcPlugin = "proc-plugin" // procdriver below $INSTANCES
	roleBarePlugin = "bare-plugin" // go-plugin's own services and no other
)

// idle is a driver that does nothing: what a control call costs is its way.
type idleDriver struct{}

func (idleDriver) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: "idle", Contracts: []faas.Contract{faas.ContractHTTP}, Stats: true}, nil
}
func (idleDriver) Start(context.Context, driver.Task) (driver.Status, error) {
	return driver.Status{}, faas.Errorf("idle", "start", "", faas.ErrUnimplemented, "it does nothing")
}
func (idleDriver) Stop(_ context.Context, id string, _ time.Duration) error {
	return faas.Errorf("idle", "stop", id, faas.ErrNotFound, "there is none")
}
func (idleDriver) List(context.Context) ([]driver.Status, error) { return nil, nil }
func (idleDriver) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return func(yield func(driver.Status, error) bool) {
		<-ctx.Done()
		yield(driver.Status{}, faas.ContextError(ctx, "idle", "watch", ""))
	}
}
func (idleDriver) Stats(context.Context, string) (driver.Stats, error) {
	return driver.Stats{CPU: time.Second, Memory: 1 << 20, Pids: 1}, nil
}
func (idleDriver) Close() error { return nil }

func serveIdlePlugin() {
	driverplugin.Serve(func(context.Context, *slog.Logger) (driver.Driver, error) { return idleDriver{}, nil })
}

func serveProcPlugin() {
	driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
		return procdriver.New(&procdriver.Options{Dir: os.Getenv("INSTANCES"), Logger: log})
	})
}

// barePlugin is a plugin without a service of its own: go-plugin serves gRPC's health check.
type barePlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (barePlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }
func (barePlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return grpc_health_v1.NewHealthClient(c), nil
}

var bareHandshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "BARE", MagicCookieValue: "bare"}

func serveBarePlugin() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: bareHandshake, Plugins: plugin.PluginSet{"bare": barePlugin{}}, GRPCServer: plugin.DefaultGRPCServer,
		Logger: hclog.NewNullLogger(),
	})
}

// openPlugin opens this program as a plugin in the role.
func openPlugin(dir, role string, env ...string) (*driverplugin.Plugin, error) {
	place, err := os.MkdirTemp(dir, "plugin-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(place, "plugin")
	if err := platform.CopySelf(path); err != nil {
		return nil, err
	}
	return driverplugin.Open(context.Background(), path, &driverplugin.Options{Env: append(env, roleEnv+"="+role, "TMPDIR="+os.TempDir())})
}

// pluginControl measures a control call to a driver in a plugin, beside a bare gRPC call over go-plugin.
func pluginControl() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "joinery-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p, err := openPlugin(dir, roleIdlePlugin)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	bare := exec.Command("/proc/self/exe")
	bare.Env = append(os.Environ(), roleEnv+"="+roleBarePlugin)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: bareHandshake, Plugins: plugin.PluginSet{"bare": barePlugin{}}, Cmd: bare,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: true, Logger: hclog.NewNullLogger(),
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	service, err := protocol.Dispense("bare")
	if err != nil {
		return nil, err
	}
	health := service.(grpc_health_v1.HealthClient)

	product := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := p.Stats(ctx, "i1")
		return err
	}
	baseline := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
		return err
	}
	began := time.Now()
	again, err := openPlugin(dir, roleIdlePlugin)
	if err != nil {
		return nil, err
	}
	opened := time.Since(began)
	if err := again.Close(); err != nil {
		return nil, err
	}
	one, many, err := sideBySide(product, baseline, 32)
	if err != nil {
		return nil, err
	}
	return []Figure{
		{Name: "plugin-control-ratio", Value: median(one.ratio), Unit: "x-of-bare-grpc", Op: "<=", Bound: 1.3},
		{Name: "plugin-control-p50", Value: median(one.p50), Unit: "us"},
		{Name: "plugin-control-rate-ratio", Value: median(many.rate), Unit: "x-of-bare-grpc"},
		{Name: "plugin-control-open", Value: millis(opened), Unit: "ms"},
	}, nil
}

// pluginData measures warm calls to an instance that a plugin has started, beside one that a driver in this
// process has started.
func pluginData() ([]Figure, error) {
	direct, ref, _, err := startEcho(platform.Config{})
	if err != nil {
		return nil, err
	}
	defer direct.Close()
	far, farRef, _, err := startEcho(platform.Config{Driver: func(dir string) (driver.Driver, error) {
		p, err := openPlugin(dir, roleProcPlugin, "INSTANCES="+filepath.Join(dir, "instances"))
		if err != nil {
			return nil, err // and not a nil *Plugin
		}
		return p, nil
	}})
	if err != nil {
		return nil, err
	}
	defer far.Close()
	one, many, err := sideBySide(throughRouter(far, farRef), throughRouter(direct, ref), 16)
	if err != nil {
		return nil, err
	}
	return []Figure{
		{Name: "plugin-data-p50-ratio", Value: median(one.ratio), Unit: "x-of-in-process", Op: "<=", Bound: 1.05},
		{Name: "plugin-data-rate-ratio", Value: 1 / median(many.rate), Unit: "x-of-in-process", Op: "<=", Bound: 1.05},
		{Name: "plugin-data-p50", Value: median(one.p50), Unit: "us"},
	}, nil
}

// beside are the rounds of a comparison.
type beside struct{ p50, ratio, rate []float64 }

// sideBySide runs both calls in turn, one at a time and then by n callers: p50 in microseconds, and the ratios
// of p50 and of rate to the baseline.
func sideBySide(product, baseline func() error, n int) (one, many beside, err error) {
	for round := range 2*warmRounds + 1 {
		for _, callers := range []int{1, n} {
			first, second := product, baseline
			if round%2 == 1 {
				first, second = second, first
			}
			a, err1 := loop.Repeat(first, callers, warmSlice)
			b, err2 := loop.Repeat(second, callers, warmSlice)
			if err := errors.Join(err1, err2); err != nil {
				return one, many, fmt.Errorf("%d callers: %w", callers, err)
			}
			if round%2 == 1 {
				a, b = b, a
			}
			if round == 0 {
				continue // warm-up
			}
			to := &one
			if callers > 1 {
				to = &many
			}
			to.p50 = append(to.p50, float64(a.P50.Nanoseconds())/1e3)
			to.ratio = append(to.ratio, float64(a.P50)/float64(b.P50))
			to.rate = append(to.rate, a.Rate/b.Rate)
		}
	}
	return one, many, nil
}
