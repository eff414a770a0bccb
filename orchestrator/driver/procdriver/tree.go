//go:build linux

package procdriver

import (
	"context"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas/orchestrator/driver"
)

// tree is a process that the driver has started and all that comes from it.
type tree struct {
	d     *Driver
	proc  *process
	group *group // nil: none
	mark  string // the private directory, to find processes by without a group; "": do not
	ooms  int    // of the group before the start

	mu     sync.Mutex // held while processes are signalled: the first is not reaped meanwhile
	reaped bool
	seen   map[int]uint64 // see sweep
}

// plant starts the image. The tree owns the group from then on, also when it fails.
func (d *Driver) plant(ctx context.Context, m *image, files []uintptr, g *group, mark string) (*tree, error) {
	t := &tree{d: d, group: g, mark: mark, ooms: g.outOfMemory()}
	var err error
	if t.proc, err = d.spawn(ctx, m, files, g); err != nil {
		g.remove(nil)
		return nil, err
	}
	return t, nil
}

// terminate asks the process group to end.
func (t *tree) terminate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		t.proc.signalGroup(syscall.SIGTERM)
	}
}

// kill ends everything by force; fell does the rest. Again, or after the end, it is harmless.
func (t *tree) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reaped {
		return
	}
	if t.group == nil {
		t.sweep().pass() // while descent can still be seen
	}
	t.proc.kill()
	t.group.kill()
}

// fell waits until the first process ends, calls ended, and returns when nothing of the
// tree is left.
func (t *tree) fell(ended func()) driver.Exit {
	if err := t.proc.wait(); err != nil { // only if the poller refused the descriptor
		t.d.log.Error("cannot wait for a process", "pid", t.proc.pid, "error", err)
		t.kill()
	}
	ended()
	ooms := t.group.outOfMemory()
	t.mu.Lock()
	t.proc.kill() // its group: it is a zombie itself, so that the number is still its own
	if t.group != nil {
		t.group.kill()
	} else {
		t.sweep().finish()
	}
	status, ok := t.proc.reap()
	t.reaped = true
	t.mu.Unlock()
	if t.proc.start != 0 {
		t.group.remove(nil) // its orphans are another's
	} else {
		t.group.remove(t.d.reaper(t.group))
	}
	return exitOf(status, ok, ooms > t.ooms)
}

// sweep is how processes are found without a group. The caller holds mu.
func (t *tree) sweep() *sweep {
	if t.seen == nil {
		t.seen = map[int]uint64{}
	}
	return &sweep{root: t.proc.pid, start: t.proc.start, mark: t.mark, seen: t.seen}
}

// exitOf tells the ends apart.
func exitOf(status syscall.WaitStatus, known, outOfMemory bool) driver.Exit {
	switch {
	case outOfMemory && (!known || !status.Exited() || status.ExitStatus() != 0):
		return driver.Exit{Reason: driver.ExitOutOfMemory, Code: -1}
	case !known:
		return driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: "it ended, and another process took its exit status"}
	case status.Exited():
		return driver.Exit{Reason: driver.ExitExited, Code: status.ExitStatus()}
	}
	return driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: unix.SignalName(status.Signal())}
}
