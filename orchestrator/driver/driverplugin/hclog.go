package driverplugin

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// hclogger is the logger that go-plugin wants, over slog. Its arguments are slog's: alternating keys and values.
type hclogger struct {
	to   *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = hclogger{}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return slog.LevelDebug - 4
	case hclog.Info:
		return slog.LevelInfo
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelDebug
}

func (l hclogger) on(at hclog.Level) bool { return l.to.Enabled(context.Background(), level(at)) }

func (l hclogger) Log(at hclog.Level, msg string, args ...any) {
	l.to.Log(context.Background(), level(at), text(msg), args...)
}
func (l hclogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l hclogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l hclogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l hclogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l hclogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }
func (l hclogger) IsTrace() bool                 { return l.on(hclog.Trace) }
func (l hclogger) IsDebug() bool                 { return l.on(hclog.Debug) }
func (l hclogger) IsInfo() bool                  { return l.on(hclog.Info) }
func (l hclogger) IsWarn() bool                  { return l.on(hclog.Warn) }
func (l hclogger) IsError() bool                 { return l.on(hclog.Error) }
func (l hclogger) ImpliedArgs() []any            { return l.args }
func (l hclogger) Name() string                  { return l.name }
func (l hclogger) SetLevel(hclog.Level)          {}

func (l hclogger) With(args ...any) hclog.Logger {
	return hclogger{l.to.With(args...), l.name, append(l.args[:len(l.args):len(l.args)], args...)}
}

// Named ignores the name: there is one plugin, and the logger says which.
func (l hclogger) Named(string) hclog.Logger { return l }

func (l hclogger) ResetNamed(name string) hclog.Logger { return hclogger{l.to, name, l.args} }

func (l hclogger) GetLevel() hclog.Level {
	for _, at := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if l.on(at) {
			return at
		}
	}
	return hclog.Off
}

func (l hclogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.to.Handler(), slog.LevelDebug)
}

func (l hclogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
