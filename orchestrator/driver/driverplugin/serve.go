package driverplugin

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"

	"github.com/joinery/faas/orchestrator/driver"
)

// Serve is the whole main function of a driver plugin. open makes the driver: once, when the
// platform has said that it is there; its error is what the platform's Open returns, class
// and all. ctx ends when the plugin is about to end. log goes to the platform's log.
//
// Serve returns when the platform has ended the plugin. When the platform has died, or the plugin is
// asked to end by SIGTERM, the driver is closed and the process exits with code 0, unless the
// platform wants its tasks kept (Options.KeepInstances). A panic ends the process with code 2, as in any
// program; the platform logs it and starts another. Without a platform (somebody runs the
// program by hand) it says what it is and exits with code 1.
//
// The plugin is a child subreaper (prctl(2), on Linux): what its tasks leave behind becomes its child,
// to be waited for by its driver, and not the platform's. It is one process group with whatever it starts, and the platform kills it as such:
// tasks that are to outlive it must have a session or group of their own.
func Serve(open func(ctx context.Context, log *slog.Logger) (driver.Driver, error)) {
	serveAPIs(open, ours)
}

// farewell is how long the driver of a plugin may take to stop all tasks when the platform has died.
const farewell = 4 * time.Second

func serveAPIs(open func(ctx context.Context, log *slog.Logger) (driver.Driver, error), apis []int32) {
	logger := func(from slog.Level) *slog.Logger {
		return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: from, ReplaceAttr: hclogNames}))
	}
	log := logger(slog.LevelDebug)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &server{apis: apis, open: func() (driver.Driver, error) { return open(ctx, log) }}
	var once sync.Once
	leave := func(why string) {
		once.Do(func() {
			cancel()
			// The platform made it for this process alone, and cannot remove it any more.
			if dir := os.Getenv(plugin.EnvUnixSocketDir); strings.HasPrefix(filepath.Base(dir), socketDirPrefix) {
				_ = os.RemoveAll(dir)
			}
			if s.keep.Load() {
				os.Exit(0)
			}
			log.Info("the plugin ends", "why", why)
			s.closeWithin(farewell)
			os.Exit(0)
		})
	}
	adoptOrphans()
	platform := handshake()
	if os.Getenv(platform.MagicCookieKey) == platform.MagicCookieValue {
		go func() { // the platform writes nothing: what ends is the platform
			_, _ = io.Copy(io.Discard, os.Stdin)
			leave("the platform has died")
		}()
		// Without a platform nobody reads the log, and to write to it must not be the end.
		// Not by signal.Ignore, which tasks would inherit.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		defer signal.Stop(term)
		go func() {
			<-term
			leave("SIGTERM")
		}()
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: platform,
		Plugins:         plugin.PluginSet{"driver": wire{s: s}},
		GRPCServer:      newGRPCServer,
		Logger:          hclogger{to: logger(slog.LevelWarn)},
	})
}

// hclogNames renames what slog writes to what go-plugin reads.
func hclogNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
	case slog.MessageKey:
		a.Key = "@message"
	case slog.LevelKey:
		at, _ := a.Value.Any().(slog.Level)
		name := "error"
		switch {
		case at < slog.LevelDebug:
			name = "trace"
		case at < slog.LevelInfo:
			name = "debug"
		case at < slog.LevelWarn:
			name = "info"
		case at < slog.LevelError:
			name = "warn"
		}
		return slog.String("@level", name)
	}
	return a
}
