//go:build linux

package procdriver

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
)

// status is that of a process that has ended and is not our child. Its parent may reap it
// meanwhile: as a zombie it shows the status (proc(5)), and from Linux 6.15 on a pidfd keeps it
// afterwards. ok is false if neither tells.
func (p *process) status() (ws syscall.WaitStatus, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if r, parsed := parseStat(p.pid, text); err == nil && parsed && r.start == p.start && r.zombie {
		const exitField = 49 // of those after the name
		if f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]); len(f) > exitField {
			n, err := strconv.ParseUint(string(f[exitField]), 10, 32)
			return syscall.WaitStatus(n), err == nil
		}
	}
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return 0, false
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	_ = conn.Control(func(fd uintptr) { err = unix.IoctlPidfdInfo(int(fd), &info) })
	return syscall.WaitStatus(info.Exit_code), err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
}

// openPipe opens the reading end of the pipe that a descriptor of a process is, if it is
// still that pipe; else nil.
func openPipe(pid, fd int, inode uint64) *os.File {
	if inode == 0 || pipeInode(pid, fd) != inode {
		return nil
	}
	n, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(n), "pipe")
}

// reopen finds the group of an instance again; nil if there is none.
func (c *cgroups) reopen(name string, l faas.Resources) *group {
	if c == nil {
		return nil
	}
	g := &group{fd: -1}
	for i, h := range c.all {
		dir := filepath.Join(h.dir, name)
		if !dirExists(dir) {
			continue
		}
		g.own = append(g.own, dir)
		if !h.v2 {
			g.enter = append(g.enter, dir)
		}
		if i == c.track {
			g.track, g.v2 = dir, h.v2
		}
		if at, ok := c.limit[kindMemory]; ok && at == i && l.Memory > 0 {
			g.memory = dir
		}
		if at, ok := c.limit[kindPids]; ok && at == i && l.Pids > 0 && !h.v2 {
			g.pids = dir
		}
	}
	if g.track == "" {
		return nil
	}
	return g
}

func cutPort(address string) (host string, port int, ok bool) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(text)
	return host, port, err == nil
}
