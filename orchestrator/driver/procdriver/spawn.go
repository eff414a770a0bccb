//go:build linux

package procdriver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
)

// image is what to execute; the same for every call of a stdio instance.
type image struct {
	path   string
	argv   []string
	env    []string
	dir    string
	limits faas.Resources
}

// process is a running process and its group of processes.
type process struct {
	pid   int
	fd    *os.File // pidfd, in the runtime's poller: waiting costs no thread
	start uint64   // of one that is not our child, see adopt; 0: it is
}

// spawn starts the image with the given descriptors 0, 1, ... in the group. When it
// returns, limits hold and not an instruction of the program has run before them.
func (d *Driver) spawn(ctx context.Context, m *image, files []uintptr, g *group) (p *process, err error) {
	d.onThread(func() { p, err = spawnTraced(ctx, m, files, g, true) })
	return p, err
}

// check finds out whether the image can be executed: it is, but ends before its first instruction.
func (d *Driver) check(ctx context.Context, m *image, g *group) (err error) {
	d.onThread(func() {
		var p *process
		if p, err = spawnTraced(ctx, m, []uintptr{d.null, d.null, d.null}, g, false); err == nil {
			p.kill()
			for {
				if _, err := syscall.Wait4(p.pid, nil, 0, nil); err != syscall.EINTR {
					break
				}
			}
			err = p.fd.Close()
		}
	})
	return err
}

// onThread runs f on one thread, which is what may control a traced process, with
// the umask that functions get.
func (d *Driver) onThread(f func()) {
	if d.umask == functionUmask {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		f()
		return
	}
	done := make(chan struct{})
	go func() { // a thread with a umask of its own, which ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		if unix.Unshare(unix.CLONE_FS) == nil {
			unix.Umask(functionUmask)
		}
		f()
	}()
	<-done
}

const functionUmask = 0o022

// spawnTraced forks and executes, and lets the program run unless it is only to be
// checked. The caller's thread is locked.
func spawnTraced(ctx context.Context, m *image, files []uintptr, g *group, run bool) (*process, error) {
	pidfd := -1
	traced := !run || m.mustStop(g)
	attr := &syscall.ProcAttr{Dir: m.dir, Env: m.env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Ptrace: traced, PidFD: &pidfd}}
	if g != nil && g.fd >= 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, g.fd
	}
	pid, err := syscall.ForkExec(m.path, m.argv, attr)
	// A file that was just written is "busy" while a child that another goroutine
	// forked meanwhile still holds the writer's descriptor: until its own exec, that is.
	for wait := time.Millisecond; err == syscall.ETXTBSY && wait < time.Second; wait *= 2 {
		if !sleep(ctx, wait) {
			break
		}
		pid, err = syscall.ForkExec(m.path, m.argv, attr)
	}
	if err != nil {
		return nil, err
	}
	err = func() error {
		if !traced {
			return nil
		}
		if err := untilExec(pid); err != nil {
			return err
		}
		if err := g.add(pid); err != nil {
			return fmt.Errorf("enter its cgroup: %w", err)
		}
		if err := setLimits(pid, m.limits); err != nil {
			return fmt.Errorf("set its limits: %w", err)
		}
		if run {
			return syscall.PtraceDetach(pid)
		}
		return nil
	}()
	if err == nil {
		err = unix.SetNonblock(pidfd, true)
	}
	if err != nil {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		_ = unix.Close(pidfd)
		return nil, err
	}
	return &process{pid: pid, fd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// mustStop reports whether something has to be set between the exec and the first
// instruction. A plain start is spared the two switches that it takes.
func (m *image) mustStop(g *group) bool {
	var core unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_CORE, &core)
	return err != nil || core.Cur != 0 || m.limits.Files > 0 || m.limits.FileSize > 0 || g != nil && len(g.enter) > 0
}

// untilExec waits until the traced child stands before its first instruction.
func untilExec(pid int) error {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, syscall.WALL, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("wait for its exec: %w", err)
		case !ws.Stopped():
			return faas.Errorf(component, "start", "", faas.ErrFunction, "it ended while it was executed (wait status %#x)", uint32(ws))
		case ws.StopSignal() == syscall.SIGTRAP:
			return nil
		default: // somebody sent it a signal already: it has to take that first
			if err := syscall.PtraceCont(pid, int(ws.StopSignal())); err != nil {
				return err
			}
		}
	}
}

// setLimits sets the resource limits of a process; never above the limit that is there.
func setLimits(pid int, l faas.Resources) error {
	set := func(resource int, n int64) error {
		var old unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
			return err
		}
		n64 := min(uint64(n), old.Max)
		return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n64, Max: n64}, nil)
	}
	var core unix.Rlimit
	errs := []error{unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &core)}
	if core.Cur != 0 {
		errs = append(errs, unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Max: core.Max}, nil))
	}
	if l.Files > 0 {
		errs = append(errs, set(unix.RLIMIT_NOFILE, l.Files))
	}
	if l.FileSize > 0 {
		errs = append(errs, set(unix.RLIMIT_FSIZE, l.FileSize))
	}
	return errors.Join(errs...)
}

// wait returns when the process has ended. It is a zombie then: its number is not
// given to another until reap.
func (p *process) wait() error {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// signalGroup signals the process group. Only between spawn and reap.
func (p *process) signalGroup(s syscall.Signal) {
	if p.start != 0 && p.signal(0) != nil {
		return // its parent has reaped it: the number may be another's
	}
	_ = syscall.Kill(-p.pid, s)
}

// signal signals the process itself, and reports an error if it is gone.
func (p *process) signal(s syscall.Signal) (err error) {
	conn, err := p.fd.SyscallConn()
	if err == nil {
		if e := conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), s, nil, 0) }); e != nil {
			err = e
		}
	}
	return err
}

// kill kills the process group, and the process should it have left that.
func (p *process) kill() {
	p.signalGroup(syscall.SIGKILL)
	_ = p.signal(syscall.SIGKILL)
}

// reap takes the status of a process that has ended. ok is false if somebody else took it.
func (p *process) reap() (ws syscall.WaitStatus, ok bool) {
	defer p.fd.Close()
	if p.start != 0 {
		return p.status()
	}
	for {
		_, err := syscall.Wait4(p.pid, &ws, 0, nil)
		if err != syscall.EINTR {
			return ws, err == nil
		}
	}
}

// spawnError gives an error of the kernel its class.
func spawnError(op, id, what string, err error) error {
	var classed *faas.Error
	if errors.As(err, &classed) {
		return err
	}
	e := faas.Errorf(component, op, id, faas.ErrInternal, "%s: %w", what, err)
	is := func(all ...syscall.Errno) bool {
		for _, errno := range all {
			if errors.Is(err, errno) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.ENOENT, syscall.ENOTDIR):
		e.Class, e.Next = faas.ErrNotFound, "check the command, and the interpreter that a script names"
	case is(syscall.EACCES, syscall.ENOEXEC, syscall.ELIBBAD, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG):
		e.Class, e.Next = faas.ErrInvalidArgument, "the program must be executable and built for "+runtime.GOOS+"/"+runtime.GOARCH
	case is(syscall.E2BIG, syscall.EINVAL):
		e.Class, e.Next = faas.ErrInvalidArgument, "make arguments and environment smaller"
	case is(syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EADDRINUSE):
		e.Class, e.Next = faas.ErrExhausted, "start fewer instances, or raise the limits of the platform's process"
	case is(syscall.ETXTBSY):
		e.Class, e.Next = faas.ErrUnavailable, "the program is open for writing; start it when it is complete"
	case is(syscall.EPERM):
		e.Class = faas.ErrDenied
	}
	return e
}

// defaultPath is the PATH of a task that sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the program of a command. A bare name is looked up in path.
func lookPath(command, dir, path string) (string, error) {
	if rest, ok := strings.CutPrefix(command, "./"); ok {
		if dir == "" {
			return "", faas.Errorf(component, "start", command, faas.ErrInvalidArgument, "is relative to the directory of the code, and the task has none")
		}
		return dir + "/" + rest, nil
	}
	if strings.Contains(command, "/") {
		return command, nil
	}
	for _, p := range strings.Split(path, ":") {
		if !strings.HasPrefix(p, "/") {
			continue
		}
		file := p + "/" + command
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("not in the PATH %s: %w", path, syscall.ENOENT)
}

// sleep waits for t and reports false if ctx ended first.
func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
