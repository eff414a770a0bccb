//go:build linux

package driverplugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/joinery/faas"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// link is one life of a plugin: a process and the connection to it.
type link struct {
	*remote
	proc   *process
	client *plugin.Client
	health grpc_health_v1.HealthClient
	dir    string

	introduction *introduction // to the owner of the tasks; guarded by Plugin.mu

	owed atomic.Int64 // since when, in nanoseconds since born, a sign of life is owed; 0: none is
	born time.Time
}

// launch executes the plugin and makes its driver.
func launch(ctx context.Context, path string, o Options, apis []int32) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartTimeout, fmt.Errorf("not ready within %v", o.StartTimeout))
	defer cancel()
	binary, err := openBinary(path, o.SHA256)
	if err != nil {
		return nil, err
	}
	defer binary.Close()
	l := &link{born: time.Now()}
	if l.dir, err = socketDir(); err != nil {
		return nil, openError(path, err)
	}
	var mu sync.Mutex
	l.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		Plugins:          plugin.PluginSet{"driver": wire{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     o.StartTimeout,
		GRPCDialOptions:  dialOptions(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: l.dir},
		Logger:           hclogger{to: o.Logger},
		SyncStdout:       lines{o, "stdout"},
		SyncStderr:       lines{o, "stderr"},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			cmd.Env = append(append([]string{}, o.Env...), cmd.Env...) // the last wins
			cmd.Env = append(cmd.Env, plugin.EnvUnixSocketDir+"="+l.dir)
			mu.Lock()
			defer mu.Unlock()
			l.proc = newProcess(cmd, binary, path, o.Args)
			return l.proc, ctx.Err()
		},
	})
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if l.proc != nil {
			_ = l.proc.Kill(ctx)
		}
	})
	defer stop()
	protocol, err := l.client.Client()
	if err != nil {
		return nil, l.startError(ctx, path, err)
	}
	conn := protocol.(*plugin.GRPCClient).Conn
	l.health = grpc_health_v1.NewHealthClient(conn)
	l.remote = &remote{name: filepath.Base(path), rpc: pb.NewDriverClient(conn), silence: l.silent}
	if err = negotiate(ctx, l.name, pb.NewPluginClient(conn), apis, o.KeepInstances); err == nil {
		l.info, err = l.Info(ctx)
	}
	if err != nil {
		if _, transport := errors.AsType[brokenError](err); transport || ctx.Err() != nil {
			return nil, l.startError(ctx, path, err)
		}
		l.destroy()
		return nil, err
	}
	return l, nil
}

// socketDir makes a private directory for the plugin's socket.
func socketDir() (string, error) {
	const most = 107 - len("/plugin1234567890") // unix(7)
	dir, err := os.MkdirTemp("", socketDirPrefix)
	if err == nil && len(dir) > most {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", socketDirPrefix)
	}
	return dir, err
}

// startError says why the plugin did not come up, and leaves nothing of it.
func (l *link) startError(ctx context.Context, path string, cause error) error {
	fail := func(class error, next, format string, args ...any) error {
		e := faas.Errorf(component, "open", path, class, format, args...)
		e.Next = next
		return e
	}
	if l.proc == nil || l.proc.stdout == nil { // never executed
		l.destroy()
		switch {
		case ctx.Err() != nil:
			return faas.ContextError(ctx, component, "open", path)
		case errors.Is(cause, syscall.ENOEXEC):
			return fail(faas.ErrInvalidArgument, "build it for this machine", "%w", cause)
		case errors.Is(cause, syscall.ENOENT):
			return fail(faas.ErrInvalidArgument, "install the interpreter that its first line names", "%w", cause)
		}
		return fail(faas.ErrUnavailable, "", "%w", cause)
	}
	said := ""
	if line := l.proc.stdout.line(); line != "" && !strings.HasPrefix(line, "1|1|") {
		said = fmt.Sprintf("; its standard output begins %q", line)
	}
	l.destroy()
	exited := !l.proc.byUs
	reason, _, _ := strings.Cut(cause.Error(), "\n")
	switch {
	case exited:
		return fail(faas.ErrUnavailable, "run it by hand, or look at its log", "it ended before it was ready, %s%s", l.proc.end(), said)
	case ctx.Err() != nil:
		e := faas.ContextError(ctx, component, "open", path)
		e.Err = fmt.Errorf("%w%s", e.Err, said)
		e.Next = "the first line of its standard output must be the handshake: begin main with driverplugin.Serve"
		return e
	case said != "" || l.proc.stdout.line() == "":
		return fail(faas.ErrInvalidArgument, "begin main with driverplugin.Serve, and print nothing before it",
			"it is not a driver plugin%s: %s", said, reason)
	}
	return fail(faas.ErrUnavailable, "", "%s", reason)
}

// destroy ends the process, by force, and frees everything. Twice is allowed.
func (l *link) destroy() {
	if l.proc != nil {
		_ = l.proc.Kill(context.Background())
		if l.proc.stdout != nil {
			<-l.proc.exited
		}
	}
	l.client.Kill()
	_ = os.RemoveAll(l.dir)
}

// silent is for how long a sign of life has been owed.
func (l *link) silent() time.Duration {
	owed := l.owed.Load()
	if owed == 0 {
		return 0
	}
	return time.Since(l.born) - time.Duration(owed)
}

// The health of a plugin: a ping every pingEvery; unhealthy when one has been owed for
// unhealthyAfter; killed after killAfter.
const (
	pingEvery      = 250 * time.Millisecond
	unhealthyAfter = 2 * time.Second
	killAfter      = 3500 * time.Millisecond
)

// pings until ctx ends or the plugin has been silent for too long, which it reports.
func (l *link) pings(ctx context.Context) (hung bool) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
		l.owed.CompareAndSwap(0, int64(time.Since(l.born)))
		call, cancel := context.WithTimeout(ctx, killAfter-l.silent())
		answer, err := l.health.Check(call, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
		cancel()
		switch {
		case err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
			l.owed.Store(0)
		case ctx.Err() != nil:
			return false
		case l.silent() >= killAfter:
			return true
		}
	}
}

// lines logs what the plugin prints instead of logging it.
type lines struct {
	o      Options
	stream string
}

func (w lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(text(string(b))) {
		w.o.Logger.Info(strings.TrimSuffix(line, "\n"), "stream", w.stream)
	}
	return len(b), nil
}
