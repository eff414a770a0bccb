package driverplugin

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/faas"
)

// Defaults of Options.
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultRestartWait  = 2 * time.Second
	DefaultMaxCrashes   = 5
	DefaultCrashWindow  = time.Minute
)

// Options configure Open. The zero value is usable.
type Options struct {
	// Args are the plugin's arguments.
	Args []string
	// Env is the plugin's whole environment, as "NAME=value", but for what the protocol adds;
	// nothing is inherited. Most drivers want PATH and TMPDIR, and HOME.
	Env []string
	// SHA256 is the digest, in hex, of the file that may be executed. Empty: any.
	SHA256 string
	// KeepInstances leaves the tasks running when this process dies, for Plugin.Recover in its
	// next life. False: the plugin stops them, and itself.
	KeepInstances bool
	// StartTimeout bounds each start of the plugin. Zero: DefaultStartTimeout.
	StartTimeout time.Duration
	// RestartWait is how long a call waits for a plugin that is being restarted, before it
	// fails as ErrUnavailable. Zero: DefaultRestartWait.
	RestartWait time.Duration
	// MaxCrashes within CrashWindow open the circuit: the next restart comes after 30 seconds,
	// and until then calls fail at once. Zero: DefaultMaxCrashes, DefaultCrashWindow.
	MaxCrashes  int
	CrashWindow time.Duration
	// Logger receives what the plugin logs and what becomes of it. Nil: nothing.
	Logger *slog.Logger
}

// withDefaults checks o, nil included, and fills in what is not set.
func (o *Options) withDefaults(path string) (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "configure", field, faas.ErrInvalidArgument, format, args...))
	}
	if !filepath.IsAbs(path) {
		bad("path", "%q is not absolute", path)
	}
	for _, e := range v.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.IndexByte(e, 0) >= 0 {
			bad("Env", "an element is not NAME=value without NUL bytes")
		}
	}
	if v.SHA256 = strings.ToLower(v.SHA256); v.SHA256 != "" {
		if sum, err := hex.DecodeString(v.SHA256); err != nil || len(sum) != 32 {
			bad("SHA256", "is not 64 hexadecimal digits")
		}
	}
	duration := func(field string, d *time.Duration, def time.Duration) {
		switch {
		case *d < 0:
			bad(field, "is negative")
		case *d == 0:
			*d = def
		}
	}
	duration("StartTimeout", &v.StartTimeout, DefaultStartTimeout)
	duration("RestartWait", &v.RestartWait, DefaultRestartWait)
	duration("CrashWindow", &v.CrashWindow, DefaultCrashWindow)
	if v.MaxCrashes < 0 {
		bad("MaxCrashes", "is negative")
	} else if v.MaxCrashes == 0 {
		v.MaxCrashes = DefaultMaxCrashes
	}
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	return v, errors.Join(errs...)
}

// Health is the state of a plugin's process.
type Health struct {
	// PID is the process; 0 while there is none.
	PID int
	// Healthy: it runs and gives signs of life.
	Healthy bool
	// Restarts counts the processes that were replaced.
	Restarts int
	// NextStart is when the next process is started while there is none, and Err why there is none.
	NextStart time.Time
	Err       error
}
