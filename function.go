package faas

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// Function is one immutable version of a function, as the registry (F1) keeps it.
type Function struct {
	// Ref is complete: namespace, name and a version number.
	Ref Ref
	// Spec is what was published.
	Spec Spec
	// Created is when it was published.
	Created time.Time
	// Revision is the registry's revision at which it was published.
	Revision Revision
}

// Spec is a function's configuration: what to run, how to talk to it, and within
// which bounds. The zero value of every field has a documented meaning. A Spec is
// plain data: it survives JSON and the plugin wire unchanged.
type Spec struct {
	// Contract is how the platform talks to an instance (F4). Required.
	Contract Contract `json:"contract"`
	// Code is the digest of the function's archive in the code store. Empty for
	// functions that live inside the platform's process (ContractHandler).
	Code Digest `json:"code,omitzero"`
	// Image is the OCI image that the function runs in, for drivers that run images; others refuse
	// it. The code, if there is any too, is seen by it as a read-only directory. Empty: none.
	Image string `json:"image,omitempty"`
	// Command is the program and its arguments. A first element with a leading "./"
	// is relative to the unpacked code. For ContractHandler it is one element, the handler's name.
	// With an Image it may be empty: what the image itself says.
	Command []string `json:"command"`
	// Env is the whole environment but for what the contract adds; nothing is inherited.
	Env map[string]string `json:"env,omitempty"`
	// Requests is what the scheduler (R3) sets aside. Zero: nothing.
	Requests Resources `json:"requests,omitzero"`
	// Limits is what the driver enforces. A limit that it cannot apply is refused. Zero: none.
	Limits Resources `json:"limits,omitzero"`
	// Isolation is the least isolation the function accepts. A driver below it is never chosen.
	Isolation Isolation `json:"isolation,omitempty"`
	// Driver, when not empty, asks for the driver of that name.
	Driver string `json:"driver,omitempty"`
	// Constraints restrict and steer the placement (Marathon's constraint language).
	Constraints []Constraint `json:"constraints,omitempty"`
	// Concurrency is how many requests one instance handles at a time. Zero: 1.
	Concurrency int `json:"concurrency,omitempty"`
	// Timeout bounds one request, queueing and cold start included. Zero: the caller's deadline alone.
	Timeout time.Duration `json:"timeout,omitempty"`
	// StartTimeout bounds the start of an instance until it is ready. Zero: DefaultStartTimeout.
	StartTimeout time.Duration `json:"startTimeout,omitempty"`
	// Grace is the time between the polite and the forced end of an instance. Zero: DefaultGrace.
	Grace time.Duration `json:"grace,omitempty"`
	// Scale bounds the number of instances.
	Scale Scale `json:"scale,omitzero"`
	// Labels are the owner's own; they are copied to every instance.
	Labels map[string]string `json:"labels,omitempty"`
}

// Defaults of Spec.
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultGrace        = 10 * time.Second
)

// Contract names the protocol between the platform and a function instance.
// The set is open: a driver may offer others.
type Contract string

const (
	// ContractHandler: a Go Invoker inside the platform's own process.
	ContractHandler Contract = "handler"
	// ContractHTTP: the instance serves HTTP/1.1 on $HOST:$PORT, on 127.0.0.1 where HOST is not set
	// (Knative's runtime contract). A container is reached from outside, so there HOST is 0.0.0.0.
	ContractHTTP Contract = "http"
	// ContractSocket: the instance serves HTTP/1.1 on the unix socket that $SOCKET names.
	ContractSocket Contract = "http-socket"
	// ContractInherit: the instance serves HTTP/1.1 on the listening socket it inherits as
	// file descriptor 3, with LISTEN_FDS=1 (systemd's socket activation). The fastest start:
	// nobody polls. The platform asks `OPTIONS *` (RFC 9110, 9.3.7) to see that it is ready.
	ContractInherit Contract = "http-inherit"
	// ContractStdio: a process per request, request body on stdin, response body on stdout
	// (OpenFaaS' classic watchdog).
	ContractStdio Contract = "stdio"
)

// Digest names content by its hash: "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

// Validate returns ErrInvalidArgument unless d has the form of a digest.
func (d Digest) Validate() error {
	const prefix = "sha256:"
	ok := len(d) == len(prefix)+64 && d[:len(prefix)] == prefix
	for i := len(prefix); ok && i < len(d); i++ {
		ok = (d[i] >= '0' && d[i] <= '9') || (d[i] >= 'a' && d[i] <= 'f')
	}
	if !ok {
		return Errorf("faas", "validate", "digest", ErrInvalidArgument, `%q is not "sha256:" and 64 lower-case hexadecimal digits`, clip(string(d)))
	}
	return nil
}

// Resources is an amount of each kind of resource. Zero means none or no limit.
type Resources struct {
	// MilliCPU is in thousandths of one CPU.
	MilliCPU int64 `json:"milliCPU,omitempty"`
	// Memory is in bytes.
	Memory int64 `json:"memory,omitempty"`
	// Pids is the number of processes and threads.
	Pids int64 `json:"pids,omitempty"`
	// Files is the number of open files of each process.
	Files int64 `json:"files,omitempty"`
	// FileSize is the size in bytes of the largest file a process may write.
	FileSize int64 `json:"fileSize,omitempty"`
}

// Isolation is how far an instance is kept from the platform and from others,
// the weakest first.
type Isolation int

const (
	// IsolationNone (L0): shares the platform's process; for trusted code.
	IsolationNone Isolation = iota
	// IsolationProcess (L1): a process of its own with limits.
	IsolationProcess
	// IsolationSandbox (L2): a process confined by Landlock, seccomp or namespaces, or a WASM sandbox.
	IsolationSandbox
	// IsolationContainer (L3): a container.
	IsolationContainer
	// IsolationVM (L4): a kernel of its own, or one in user space (gVisor).
	IsolationVM
)

// String is the level's name with its number: "L1 process".
func (i Isolation) String() string {
	names := [...]string{"L0 none", "L1 process", "L2 sandbox", "L3 container", "L4 vm"}
	if i < 0 || int(i) >= len(names) {
		return fmt.Sprintf("isolation(%d)", int(i))
	}
	return names[i]
}

// Constraint is one placement rule: Operator applied to a Field of the node
// (the node's name as "hostname", or a label) and a Value. The operators are
// Marathon's: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS.
type Constraint struct {
	Field    string `json:"field"`
	Operator string `json:"operator"`
	Value    string `json:"value,omitempty"`
}

// Scale bounds the number of instances of a function.
type Scale struct {
	// Min instances are kept even without requests. Zero: scale to zero.
	Min int `json:"min,omitempty"`
	// Max instances are never exceeded. Zero: no bound but the platform's own.
	Max int `json:"max,omitempty"`
	// Initial instances are started when the function is first seen. Zero: Min.
	Initial int `json:"initial,omitempty"`
	// Target is the number of concurrent requests per instance the autoscaler aims at.
	// Zero: the policy's default.
	Target float64 `json:"target,omitempty"`
	// KeepAlive is how long an idle instance is kept. Zero: the policy's default.
	KeepAlive time.Duration `json:"keepAlive,omitempty"`
}

// MaxPerInstance returns Concurrency with its default applied.
func (s *Spec) MaxPerInstance() int {
	if s.Concurrency <= 0 {
		return 1
	}
	return s.Concurrency
}

// Clone returns a copy that shares no memory with s that could change. Empty maps
// and slices become nil, as they do in JSON.
func (s *Spec) Clone() Spec {
	c := *s
	c.Command = append([]string(nil), s.Command...)
	c.Constraints = append([]Constraint(nil), s.Constraints...)
	c.Env, c.Labels = cloneMap(s.Env), cloneMap(s.Labels)
	return c
}

func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

// Bounds of a Spec, so that one record stays small and quick to check.
const (
	maxSpecItems = 1024      // elements of Command, Env, Labels, Constraints
	maxSpecBytes = 256 << 10 // all their text together
)

// Validate checks the whole Spec and reports every fault at once: each is
// ErrInvalidArgument and names the field and the rule.
func (s *Spec) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, Errorf("faas", "validate", field, ErrInvalidArgument, format, args...))
	}
	if err := ValidateName("contract", string(s.Contract)); err != nil {
		errs = append(errs, err)
	}
	if s.Code != "" {
		if err := s.Code.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if s.Driver != "" {
		if err := ValidateName("driver", s.Driver); err != nil {
			errs = append(errs, err)
		}
	}
	if s.Image != "" {
		if err := ValidateImage(s.Image); err != nil {
			errs = append(errs, err)
		}
		if s.Contract == ContractHandler {
			bad("image", "is set for a handler, which lives in the platform's process")
		}
	}
	if len(s.Command) == 0 && s.Image == "" || len(s.Command) > 0 && s.Command[0] == "" {
		bad("command", "is empty; it names the program or the handler")
	}
	size := 0
	text := func(field, v string) {
		size += len(v)
		if strings.IndexByte(v, 0) >= 0 {
			bad(field, "has a NUL byte")
		}
		if !utf8.ValidString(v) {
			bad(field, "is not valid UTF-8")
		}
	}
	for _, v := range s.Command {
		text("command", v)
	}
	for k, v := range s.Env {
		if !validEnvName(k) {
			bad("env", "name %q is not letters, digits and '_', starting with a letter or '_'", clip(k))
		}
		text("env", v)
		size += len(k)
	}
	for k, v := range s.Labels {
		if k == "" {
			bad("labels", "a label has an empty name")
		}
		text("labels", k)
		text("labels", v)
	}
	for _, c := range s.Constraints {
		if c.Field == "" || c.Operator == "" {
			bad("constraints", "a constraint needs a field and an operator, got %+v", c)
		}
		text("constraints", c.Field+c.Operator+c.Value)
	}
	if n := max(len(s.Command), len(s.Env), len(s.Labels), len(s.Constraints)); n > maxSpecItems {
		bad("spec", "has a list of %d elements, more than %d", n, maxSpecItems)
	}
	if size > maxSpecBytes {
		bad("spec", "has %d bytes of text, more than %d", size, maxSpecBytes)
	}
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"requests.milliCPU", s.Requests.MilliCPU}, {"requests.memory", s.Requests.Memory}, {"requests.pids", s.Requests.Pids},
		{"requests.files", s.Requests.Files}, {"requests.fileSize", s.Requests.FileSize},
		{"limits.milliCPU", s.Limits.MilliCPU}, {"limits.memory", s.Limits.Memory}, {"limits.pids", s.Limits.Pids},
		{"limits.files", s.Limits.Files}, {"limits.fileSize", s.Limits.FileSize},
		{"concurrency", int64(s.Concurrency)}, {"timeout", int64(s.Timeout)}, {"startTimeout", int64(s.StartTimeout)},
		{"grace", int64(s.Grace)}, {"scale.min", int64(s.Scale.Min)}, {"scale.max", int64(s.Scale.Max)},
		{"scale.initial", int64(s.Scale.Initial)}, {"scale.keepAlive", int64(s.Scale.KeepAlive)},
	} {
		if f.v < 0 {
			bad(f.name, "is negative")
		}
	}
	if !(s.Scale.Target >= 0 && s.Scale.Target <= 1e9) {
		bad("scale.target", "is not a number from 0 to 1e9")
	}
	if s.Scale.Max > 0 && (s.Scale.Min > s.Scale.Max || s.Scale.Initial > s.Scale.Max) {
		bad("scale.max", "is less than scale.min or scale.initial")
	}
	if s.Isolation < IsolationNone || s.Isolation > IsolationVM {
		bad("isolation", "%d is not a level", int(s.Isolation))
	}
	return errors.Join(errs...)
}

func validEnvName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
