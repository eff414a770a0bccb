package dockerdriver

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/joinery/faas"
)

const component = "driver"

// MaxLine is the longest line of log that is kept whole, in bytes.
const MaxLine = 64 << 10

// Defaults of Options.
const (
	DefaultHost    = "unix:///var/run/docker.sock"
	DefaultTmpSize = 64 << 20
	DefaultLogKeep = 1 << 20
)

// Pull is when an image is fetched from its registry.
type Pull int

// The policies.
const (
	// PullMissing fetches what the engine does not have.
	PullMissing Pull = iota
	// PullNever fetches nothing: what the engine does not have is ErrNotFound.
	PullNever
	// PullAlways asks the registry at each start; a digest that the engine has is not asked for.
	PullAlways
)

// Options configure New. The zero value is usable.
type Options struct {
	// Host is where the engine listens, as Docker writes it. The engine must be on this machine, as
	// sockets and code are shared with it: "unix:///path". Empty: DefaultHost.
	Host string
	// Dir is where the directory with the private directories of instances is made; Close removes
	// it. It is created if missing. The engine must see the same files. Empty: os.TempDir(). At
	// most 60 bytes.
	Dir string
	// Base is the OCI image that functions without an Image of their own run in. Empty: an
	// image without any file, which the driver makes when it is missing; it runs static programs.
	Base string
	// Pull is when images are fetched. Zero: PullMissing. The engine asks registries without
	// credentials: images of those that want some are to be loaded into it beforehand.
	Pull Pull
	// Network is an existing Docker network that all instances join. Empty: none, or
	// for contract http a private one that only this machine is on.
	Network string
	// User is "uid:gid", what instances run as; never root. Empty: 65532:65532 when this process is
	// root's, else its own user, as the instance's socket must be shared by both.
	User string
	// Parallel is how many containers the engine creates or starts at a time. Zero: two for
	// each CPU, as more make each start slower and none faster.
	Parallel int
	// TmpSize bounds /tmp, the one place an instance can write to, in bytes. Zero: DefaultTmpSize.
	TmpSize int64
	// LogKeep is about how many bytes of log the engine keeps of each instance. Zero: DefaultLogKeep.
	LogKeep int64
	// Logger receives what the driver has to say of itself. Nil: nothing.
	Logger *slog.Logger
}

// config is Options, checked and complete.
type config struct {
	Options
	socket   string // of the engine
	uid, gid int
}

// maxDir keeps a socket's path within the 107 bytes that unix(7) allows.
const maxDir = 60

// withDefaults checks o, nil included, and fills in what is not set.
func (o *Options) withDefaults() (config, error) {
	var c config
	if o != nil {
		c.Options = *o
	}
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "configure", field, faas.ErrInvalidArgument, format, args...))
	}
	if c.Host == "" {
		c.Host = DefaultHost
	}
	path, ok := strings.CutPrefix(c.Host, "unix://")
	if c.socket = path; !ok || !filepath.IsAbs(path) {
		bad("Host", `%q is not "unix://" and an absolute path; the engine must be on this machine`, c.Host)
	}
	if c.Dir == "" {
		c.Dir = os.TempDir()
	}
	if dir, err := filepath.Abs(c.Dir); err != nil {
		bad("Dir", "%w", err)
	} else if c.Dir = dir; len(dir) > maxDir {
		bad("Dir", "%q is %d bytes long, more than %d: the paths of sockets in it would be too long", dir, len(dir), maxDir)
	} else if strings.ContainsAny(dir, ":,\"\\") {
		bad("Dir", "%q has a character that cannot be part of a mount", dir)
	}
	if c.Base == "" {
		c.Base = emptyImage
	} else if err := faas.ValidateImage(c.Base); err != nil {
		bad("Base", "%w", err)
	}
	switch {
	case c.Network == "host", c.Network == "none", strings.ContainsAny(c.Network, ":/ "):
		bad("Network", "%q is not the name of a network that containers can join", c.Network)
	}
	if c.Pull < PullMissing || c.Pull > PullAlways {
		bad("Pull", "%d is not a policy", int(c.Pull))
	}
	if c.User == "" {
		if c.uid, c.gid = os.Getuid(), os.Getgid(); c.uid == 0 {
			c.uid, c.gid = nobody, nobody
		}
		c.User = strconv.Itoa(c.uid) + ":" + strconv.Itoa(c.gid)
	} else {
		uid, gid, _ := strings.Cut(c.User, ":")
		var err, err2 error
		c.uid, err = strconv.Atoi(uid)
		c.gid, err2 = strconv.Atoi(gid)
		if err != nil || err2 != nil || c.uid <= 0 || c.gid < 0 {
			bad("User", "%q is not uid:gid in numbers, or is root", c.User)
		} else if os.Getuid() != 0 && c.uid != os.Getuid() {
			bad("User", "%q is not this process's user, who alone can share a socket with the instance", c.User)
		}
	}
	if c.Parallel < 0 || c.TmpSize < 0 || c.LogKeep < 0 {
		bad("Parallel, TmpSize, LogKeep", "one of them is negative")
	}
	if c.Parallel == 0 {
		c.Parallel = 2 * runtime.NumCPU()
	}
	if c.TmpSize == 0 {
		c.TmpSize = DefaultTmpSize
	}
	if c.LogKeep == 0 {
		c.LogKeep = DefaultLogKeep
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}

// nobody is the user that images without users use ("nonroot" of distroless).
const nobody = 65532
