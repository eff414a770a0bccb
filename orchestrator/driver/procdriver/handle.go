//go:build linux

package procdriver

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// format is the number of the format of handles that this version writes.
const format = 1

// state is what a handle holds. Nothing in it is believed that the world does not confirm.
type state struct {
	Boot     string            `json:"boot"` // the numbers below are of this run of the kernel
	Dir      string            `json:"dir"`  // private
	Contract faas.Contract     `json:"contract"`
	Endpoint driver.Endpoint   `json:"endpoint"`
	Labels   map[string]string `json:"labels,omitempty"`
	Limits   faas.Resources    `json:"limits,omitzero"`
	Started  time.Time         `json:"started"`
	Ready    time.Time         `json:"ready"`
	Exit     *driver.Exit      `json:"exit,omitempty"` // it had ended

	// Of a process.
	PID    int    `json:"pid,omitempty"`
	Start  uint64 `json:"start,omitempty"` // in clock ticks since boot: with PID the name of one process
	OOMs   int    `json:"ooms,omitempty"`  // of its group before it
	Stdout uint64 `json:"stdout,omitempty"`
	Stderr uint64 `json:"stderr,omitempty"` // inodes of the pipes

	// Of a stdio instance: how to make a process.
	Path        string   `json:"path,omitempty"`
	Argv        []string `json:"argv,omitempty"`
	Env         []string `json:"env,omitempty"`
	Concurrency int      `json:"concurrency,omitempty"`
}

// Handle implements driver.Recoverer.
func (d *Driver) Handle(_ context.Context, id string) (driver.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := d.find("handle", id)
	if err != nil {
		return driver.Handle{}, err
	}
	if i.handle == nil {
		data, err := json.Marshal(i.state())
		if err == nil && len(data) > driver.MaxHandleState {
			return driver.Handle{}, faas.Errorf(component, "handle", id, faas.ErrExhausted,
				"the handle is %d bytes long, more than %d: the command and environment are too large", len(data), driver.MaxHandleState)
		}
		if err != nil {
			return driver.Handle{}, faas.Errorf(component, "handle", id, faas.ErrInternal, "%w", err)
		}
		i.handle = &driver.Handle{ID: id, Driver: d.info.Name, Format: format, State: data}
	}
	return *i.handle, nil
}

// state describes the instance as it is now. The caller holds d.mu.
func (i *instance) state() state {
	s := state{Boot: bootID(), Dir: i.dir, Contract: i.task.Contract, Endpoint: i.status.Endpoint, Labels: i.task.Labels,
		Limits: i.task.Limits, Started: i.status.Started, Ready: i.status.Ready, Exit: i.status.Exit}
	if i.calls != nil {
		s.Path, s.Argv, s.Env, s.Concurrency = i.image.path, i.image.argv, i.image.env, i.task.Concurrency
		return s
	}
	if i.tree == nil || s.Exit != nil {
		return s
	}
	s.PID, s.OOMs = i.tree.proc.pid, i.tree.ooms
	if p, ok := readRelative(s.PID); ok { // a zombie at least, until finish takes d.mu
		s.Start = p.start
	}
	for n, inode := range []*uint64{&s.Stdout, &s.Stderr} {
		*inode = pipeInode(s.PID, n+1)
	}
	return s
}

// decode reads a handle's state and checks it within itself.
func decode(h *driver.Handle) (s state, err error) {
	corrupt := func(format string, args ...any) error {
		return faas.Errorf(component, "recover", h.ID, faas.ErrCorrupt, format, args...)
	}
	if h.Format != format {
		e := faas.Errorf(component, "recover", h.ID, faas.ErrUnimplemented, "the handle has the format %d, this driver reads %d", h.Format, format)
		e.Next = "recover with the version of the driver that made it"
		return s, e
	}
	if err := json.Unmarshal(h.State, &s); err != nil {
		return s, corrupt("%w", err)
	}
	root, number := filepath.Split(s.Dir)
	_, err = strconv.ParseUint(number, 10, 64)
	if err != nil || !filepath.IsAbs(s.Dir) || filepath.Clean(s.Dir) != s.Dir || !strings.HasPrefix(filepath.Base(root), rootPrefix) {
		return s, corrupt("%q is not a private directory", s.Dir)
	}
	stdio := s.Contract == faas.ContractStdio
	if stdio || s.Exit != nil {
		s.PID, s.Start = 0, 0
	}
	switch {
	case s.Exit == nil && !stdio && (s.PID <= 1 || s.Start == 0):
		return s, corrupt("%d is not the number of a process", s.PID)
	case stdio && (s.Path == "" || len(s.Argv) == 0 || s.Concurrency < 0):
		return s, corrupt("a %s instance has no command", s.Contract)
	case s.Endpoint.Address == "":
		return s, corrupt("there is no endpoint")
	}
	return s, nil
}

// bootID names this run of the kernel.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// pipeInode is that of the pipe that a descriptor of a process is; 0 if it is none.
func pipeInode(pid, fd int) uint64 {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/fd/"+strconv.Itoa(fd), &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return 0
	}
	return st.Ino
}
