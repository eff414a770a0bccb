package procdriver

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/joinery/faas"
)

const component = "driver"

// MaxLine is the longest line of log that is kept whole, in bytes.
const MaxLine = 64 << 10

// Defaults of Options.
const (
	DefaultLogKeep = 256 << 10
	DefaultLogRate = 1 << 20
)

// maxDir keeps a socket's path within the 107 bytes that unix(7) allows: the driver
// adds "/joinery-proc-" with ten digits, a number and "/s".
const maxDir = 107 - len("/joinery-proc-0123456789") - len("/0123456789") - len("/s")

// Options configure New. The zero value is usable.
type Options struct {
	// Dir is where the driver makes the directory that holds all private directories, and
	// where Recover looks for those of its predecessors; Close removes it. It is created if missing. Empty: os.TempDir(). At most 70 bytes.
	Dir string
	// Logger receives what the driver has to say of itself. Nil: nothing.
	Logger *slog.Logger
	// NoCgroups leaves the machine's cgroups alone: there are no limits of CPU, memory and pids then.
	NoCgroups bool
	// LogKeep is how many bytes of log are kept of each task, the newest. Zero: DefaultLogKeep.
	LogKeep int64
	// LogRate is how many bytes of log a second are taken from each task, after a burst of as
	// many (a token bucket; a line costs 64 bytes more than its length). Zero: DefaultLogRate.
	LogRate int64
}

// withDefaults checks o, nil included, and fills in what is not set.
func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "configure", field, faas.ErrInvalidArgument, format, args...))
	}
	if v.Dir == "" {
		v.Dir = os.TempDir()
	}
	if dir, err := filepath.Abs(v.Dir); err != nil {
		bad("Dir", "%w", err)
	} else if v.Dir = dir; len(dir) > maxDir {
		bad("Dir", "%q is %d bytes long, more than %d: the paths of sockets in it would be too long", dir, len(dir), maxDir)
	}
	if v.LogKeep < 0 {
		bad("LogKeep", "is negative")
	}
	if v.LogRate < 0 {
		bad("LogRate", "is negative")
	}
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	if v.LogKeep == 0 {
		v.LogKeep = DefaultLogKeep
	}
	if v.LogRate == 0 {
		v.LogRate = DefaultLogRate
	}
	return v, errors.Join(errs...)
}
