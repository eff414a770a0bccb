// Package driver is the contract of a driver: what a node agent (R4 of the
// SPEC-RG reference architecture) starts function instances with. It is the
// contract third parties write. Implementations are sub-packages: memdriver
// (Go handlers in the platform's process), procdriver (operating-system
// processes) and dockerdriver (containers); drivertest is the conformance kit.
//
// Simple makes a driver of one function, driverplugin puts any driver into a process of its
// own, and the README of this directory is the guide for those who write one.
//
// A driver starts things and names endpoints. It is never on the data path: the
// router talks to the endpoint.
//
// # Snippet
//
//	d, err := procdriver.New(&procdriver.Options{})
//	st, err := d.Start(ctx, driver.Task{
//		ID:       "i1",
//		Contract: faas.ContractHTTP,
//		Dir:      "/srv/code/hello",
//		Command:  []string{"./hello"},
//	})
//	// st.Endpoint is ready to be connected to.
//	err = d.Stop(ctx, "i1", 10*time.Second)
//
// # Errors
//
// The classes of package faas. A limit, contract or isolation level that the
// driver cannot provide is ErrUnimplemented, never silently dropped.
//
// # Concurrency
//
// All methods are safe for concurrent use, also for the same task.
package driver

import (
	"context"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/joinery/faas"
)

// Driver starts, stops and watches instances on one node.
//
// After Close every method but Close returns ErrClosed.
type Driver interface {
	// Info says what the driver is and can do. It does not change while the driver lives.
	Info(ctx context.Context) (Info, error)

	// Start starts a task and returns when it is ready to serve at its endpoint, or
	// has failed. A failed or cancelled Start leaves nothing behind: no process, file or record.
	//
	// Errors: ErrInvalidArgument (the task breaks a rule), ErrAlreadyExists (a task of
	// that ID is listed), ErrUnimplemented (a contract, limit or isolation level that Info
	// does not offer), ErrNotFound (the program or the image is missing), ErrFunction (it ended before it
	// was ready; with ErrOutOfMemory where that is why), ErrTimeout (not ready within
	// StartTimeout, or ctx's deadline), ErrCanceled, ErrExhausted (the node is out of something).
	Start(ctx context.Context, t Task) (Status, error)

	// Stop ends the task: politely, and by force when grace has passed (0: by force at
	// once). It returns when the task and everything it started are gone and forgotten:
	// List no longer has it. A task that ended by itself is forgotten too. An unknown id is
	// ErrNotFound; of two concurrent Stops both return after the end. When ctx ends, Stop
	// returns ErrTimeout or ErrCanceled and the end goes on. Of several Stops the shortest grace holds.
	Stop(ctx context.Context, id string, grace time.Duration) error

	// List returns every task that was started and not stopped, those that ended by
	// themselves included. It is the base of recovery.
	List(ctx context.Context) ([]Status, error)

	// Watch yields the status of every listed task and then each change: started, ended,
	// and, as the last of a task, its status with State StateGone once it is stopped. It
	// blocks while there is none and ends with one error when ctx ends (ErrCanceled or
	// ErrTimeout) or the driver is closed (ErrClosed). A slow reader may miss a state
	// between two others, never the last one.
	Watch(ctx context.Context) iter.Seq2[Status, error]

	// Close stops every task by force and frees everything. Closing twice is nil.
	io.Closer
}

// Info is what a driver says of itself: plain data.
type Info struct {
	// Name is the name a Spec asks for: "mem", "proc".
	Name string `json:"name"`
	// Version is the driver's own version.
	Version string `json:"version,omitempty"`
	// Contracts are the instance contracts it can start.
	Contracts []faas.Contract `json:"contracts"`
	// Isolation is the level every instance gets.
	Isolation faas.Isolation `json:"isolation"`
	// Limits says which limits it really applies, here and now.
	Limits LimitSupport `json:"limits"`
	// Logs: it implements LogSource.
	Logs bool `json:"logs,omitempty"`
	// Recover: it implements Recoverer.
	Recover bool `json:"recover,omitempty"`
	// Images: it runs OCI images (Task.Image).
	Images bool `json:"images,omitempty"`
	// Pause: it implements Pauser.
	Pause bool `json:"pause,omitempty"`
	// Stats: it implements StatsSource.
	Stats bool `json:"stats,omitempty"`
	// NeedsCode: a task needs a directory of code; false for handlers within the process.
	NeedsCode bool `json:"needsCode,omitempty"`
}

// Offers reports whether the driver can start instances of the contract.
func (i *Info) Offers(c faas.Contract) bool { return slices.Contains(i.Contracts, c) }

// LimitSupport says for each limit of faas.Resources whether it is enforced.
type LimitSupport struct {
	MilliCPU bool `json:"milliCPU,omitempty"`
	Memory   bool `json:"memory,omitempty"`
	Pids     bool `json:"pids,omitempty"`
	Files    bool `json:"files,omitempty"`
	FileSize bool `json:"fileSize,omitempty"`
}

// Missing names the first limit that is set in r and not supported; "" if there is none.
func (s LimitSupport) Missing(r faas.Resources) string {
	switch {
	case r.MilliCPU > 0 && !s.MilliCPU:
		return "milliCPU"
	case r.Memory > 0 && !s.Memory:
		return "memory"
	case r.Pids > 0 && !s.Pids:
		return "pids"
	case r.Files > 0 && !s.Files:
		return "files"
	case r.FileSize > 0 && !s.FileSize:
		return "fileSize"
	}
	return ""
}

// Task is one instance to start. Fields mean what they mean in faas.Spec.
type Task struct {
	// ID is the instance's id: unique within the driver, valid by faas.ValidateName.
	ID string `json:"id"`
	// Contract is how the instance is talked to.
	Contract faas.Contract `json:"contract"`
	// Dir is the directory of the unpacked code: read-only and shared by all instances of
	// a version. Empty when the function has none.
	Dir string `json:"dir,omitempty"`
	// Image is the OCI image to run in. Empty: none.
	Image string `json:"image,omitempty"`
	// Command is the program and its arguments; a leading "./" is relative to Dir. Empty, with
	// an Image: the image's own.
	Command []string `json:"command"`
	// Env is the whole environment, but for what the contract adds (PORT, SOCKET, LISTEN_FDS).
	Env map[string]string `json:"env,omitempty"`
	// Limits are to be enforced.
	Limits faas.Resources `json:"limits,omitzero"`
	// Isolation is the least level wanted.
	Isolation faas.Isolation `json:"isolation,omitempty"`
	// StartTimeout bounds the time until the instance is ready. Zero: faas.DefaultStartTimeout.
	StartTimeout time.Duration `json:"startTimeout,omitempty"`
	// Concurrency is how many requests the instance will see at a time. Zero: 1.
	Concurrency int `json:"concurrency,omitempty"`
	// Labels are kept and given back.
	Labels map[string]string `json:"labels,omitempty"`
}

// Endpoint is where an instance is talked to.
type Endpoint struct {
	// Network is "unix" or "tcp" for the HTTP contracts; "handler" for a Go handler in this process.
	Network string `json:"network"`
	// Address is a socket path, a host:port, or the task's id.
	Address string `json:"address"`
}

// State is a task's state.
type State string

// The states of a task, in their order.
const (
	// StateRunning: ready, and serving as far as the driver knows.
	StateRunning State = "running"
	// StateEnded: it ended by itself; Exit says how. Listed until Stop.
	StateEnded State = "ended"
	// StateGone: stopped and forgotten. Seen only in Watch.
	StateGone State = "gone"
)

// Status is what a driver believes of one task.
type Status struct {
	ID       string            `json:"id"`
	State    State             `json:"state"`
	Endpoint Endpoint          `json:"endpoint"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Started is when the instance began to exist, Ready when it could serve.
	Started time.Time `json:"started"`
	Ready   time.Time `json:"ready"`
	// Exit is set once the state is StateEnded or StateGone.
	Exit *Exit `json:"exit,omitempty"`
}

// ExitReason is why a task ended.
type ExitReason string

// The reasons.
const (
	// ExitStopped: by Stop or Close.
	ExitStopped ExitReason = "stopped"
	// ExitExited: by itself, with Code.
	ExitExited ExitReason = "exited"
	// ExitSignaled: killed by Signal that the driver did not send.
	ExitSignaled ExitReason = "signaled"
	// ExitOutOfMemory: it went over its memory limit.
	ExitOutOfMemory ExitReason = "out-of-memory"
	// ExitLost: the driver lost sight of it.
	ExitLost ExitReason = "lost"
)

// Exit is how a task ended.
type Exit struct {
	Reason ExitReason `json:"reason"`
	// Code is the exit code for ExitExited, else -1.
	Code int `json:"code"`
	// Signal is the signal's name for ExitSignaled: "SIGSEGV".
	Signal string `json:"signal,omitempty"`
	// Detail is for people: typically the last lines of the instance's stderr.
	Detail string `json:"detail,omitempty"`
}

// Err is the classed error for an end that nobody asked for: nil for ExitStopped,
// ErrUnavailable for ExitLost, else ErrFunction, with ErrOutOfMemory where that is the reason.
func (e *Exit) Err(id string) error {
	if e == nil || e.Reason == ExitStopped {
		return nil
	}
	msg := string(e.Reason)
	switch e.Reason {
	case ExitExited:
		msg = "exited with code " + strconv.Itoa(e.Code)
	case ExitSignaled:
		msg = "killed by " + e.Signal
	}
	if e.Detail != "" {
		msg += ": " + e.Detail
	}
	err := faas.Errorf("function instance", "run", id, faas.ErrFunction, "%s", msg)
	switch e.Reason {
	case ExitLost:
		err.Class = faas.ErrUnavailable
	case ExitOutOfMemory:
		err.Err = faas.Errorf("", "", "", faas.ErrOutOfMemory, "%s", msg)
		err.Next = "raise limits.memory"
	}
	return err
}
