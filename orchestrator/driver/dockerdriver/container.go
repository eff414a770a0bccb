package dockerdriver

import (
	"cmp"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Where a container finds what is its own.
const (
	codeDir   = "/code"        // Task.Dir, read-only
	socketDir = "/run/joinery" // holds the socket of contract http-socket
	tmpDir    = "/tmp"         // working directory, HOME and TMPDIR of functions with code
	httpPort  = 8080           // of contract http; the address is the container's own
)

// The labels of a container: all that is needed to know it again.
const (
	labelOwner = "joinery.owner" // whose it is: see Driver.mark
	labelTask  = "joinery.task"  // a record, as JSON
	labelDir   = "joinery.dir"   // the directory that holds the driver's private directories, for people
)

// record is what a container's label says of its task.
type record struct {
	ID       string            `json:"id"`
	Contract faas.Contract     `json:"contract"`
	Labels   map[string]string `json:"labels,omitempty"`
	Started  time.Time         `json:"started"`
	// Dir is the name of the private directory; empty if there is none.
	Dir string `json:"dir,omitempty"`
	// Limited: it has a memory limit.
	Limited bool `json:"limited,omitempty"`
}

// spec is the body of a request to create a container, as far as it is used here.
type spec struct {
	Image           string
	Cmd             []string `json:",omitempty"`
	Entrypoint      []string `json:",omitempty"`
	Env             []string
	User            string
	WorkingDir      string `json:",omitempty"`
	NetworkDisabled bool   `json:",omitempty"`
	Labels          map[string]string
	HostConfig      hostConfig
}

type hostConfig struct {
	NetworkMode    string `json:",omitempty"`
	Init           bool
	ReadonlyRootfs bool
	CapDrop        []string
	SecurityOpt    []string
	IpcMode        string
	Mounts         []mount
	Tmpfs          map[string]string
	Memory         int64    `json:",omitempty"`
	MemorySwap     int64    `json:",omitempty"`
	NanoCpus       int64    `json:",omitempty"`
	PidsLimit      *int64   `json:",omitempty"`
	Ulimits        []ulimit `json:",omitempty"`
	LogConfig      logConfig
}

type mount struct {
	Type, Source, Target string
	ReadOnly             bool
}

type ulimit struct {
	Name       string
	Soft, Hard int64
}

type logConfig struct {
	Type   string
	Config map[string]string
}

// spec says how the task's container is to be. The process is confined as far as Docker can without
// knowing the function: no capability, no way to gain privileges, a user that is not root, a file
// system that cannot be written to, the engine's default seccomp profile.
func (d *Driver) spec(t *driver.Task, r record) spec {
	label, err := json.Marshal(r)
	if err != nil {
		panic(err) // a record always marshals
	}
	env := maps.Clone(t.Env)
	if env == nil {
		env = map[string]string{}
	}
	s := spec{
		Image: cmp.Or(t.Image, d.cfg.Base), Entrypoint: t.Command, User: d.cfg.User,
		Labels: map[string]string{labelOwner: d.mark, labelTask: string(label), labelDir: d.root},
		HostConfig: hostConfig{
			Init:           true, // PID 1 has no default signal handlers and must reap
			ReadonlyRootfs: true,
			CapDrop:        []string{"ALL"},
			SecurityOpt:    []string{"no-new-privileges:true"},
			IpcMode:        "private",
			Tmpfs:          map[string]string{tmpDir: "rw,nosuid,nodev,mode=1777,size=" + strconv.FormatInt(d.cfg.TmpSize, 10)},
			Memory:         t.Limits.Memory,
			MemorySwap:     t.Limits.Memory, // no swap beside it
			NanoCpus:       t.Limits.MilliCPU * 1e6,
			LogConfig: logConfig{"json-file", map[string]string{
				"max-size": strconv.FormatInt(max(d.cfg.LogKeep/2, 1), 10), "max-file": "2",
				"mode": "non-blocking", "max-buffer-size": "1m"}}, // a flood must not stop the function
		},
	}
	h := &s.HostConfig
	if t.Image == "" || t.Dir != "" { // else the image itself says where it works
		s.WorkingDir = tmpDir
	}
	for k, v := range map[string]string{"HOME": tmpDir, "TMPDIR": tmpDir} {
		if _, ok := env[k]; !ok {
			env[k] = v
		}
	}
	if t.Dir != "" {
		h.Mounts = append(h.Mounts, mount{Type: "bind", Source: t.Dir, Target: codeDir, ReadOnly: true})
	}
	if len(t.Command) > 0 && strings.HasPrefix(t.Command[0], "./") {
		s.Entrypoint = append([]string{codeDir + t.Command[0][1:]}, t.Command[1:]...)
	}
	h.NetworkMode = d.cfg.Network
	if r.Contract == faas.ContractSocket {
		h.Mounts = append(h.Mounts, mount{Type: "bind", Source: filepath.Join(d.dirOf(r.Dir), sharedDir), Target: socketDir})
		env["SOCKET"] = socketDir + "/" + socketName
		// A network namespace of its own with nothing but a loopback. "none" would be the same for
		// the instance, at twice the time: the engine prepares a sandbox for networks to come.
		s.NetworkDisabled = d.cfg.Network == ""
	} else {
		env["PORT"], env["HOST"] = strconv.Itoa(httpPort), "0.0.0.0"
		h.NetworkMode = cmp.Or(d.cfg.Network, d.privateNetwork())
	}
	if t.Limits.Pids > 0 {
		h.PidsLimit = &t.Limits.Pids
	}
	for name, v := range map[string]int64{"nofile": t.Limits.Files, "fsize": t.Limits.FileSize} {
		if v > 0 {
			h.Ulimits = append(h.Ulimits, ulimit{name, v, v})
		}
	}
	h.Ulimits = append(h.Ulimits, ulimit{Name: "core"})
	for _, k := range slices.Sorted(maps.Keys(env)) {
		s.Env = append(s.Env, k+"="+env[k])
	}
	return s
}

// state is a container's state as the engine tells it.
type state struct {
	Status    string // created, running, paused, restarting, removing, exited, dead
	Paused    bool
	OOMKilled bool
	ExitCode  int
	Error     string
}

// ended reports whether the container's process has ended.
func (s *state) ended() bool { return s.Status == "exited" || s.Status == "dead" }

// container is what the engine tells of one.
type container struct {
	ID     string `json:"Id"`
	Config struct {
		Labels map[string]string
	}
	State           state
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

// listed is what the engine tells of one in a list.
type listed struct {
	ID     string `json:"Id"`
	Names  []string
	Labels map[string]string
	State  string
}
