//go:build linux

package procdriver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// relative is a process as /proc/<pid>/stat shows it.
type relative struct {
	pid, ppid, session int
	zombie             bool
	start              uint64 // clock ticks since boot: with pid the name of one process
}

// sweep finds the processes of one instance where no cgroup lists them.
type sweep struct {
	root int // the process that the driver started, and so its session's number; 0: none
	// start is of a root that is no child of this process; nor are its orphans then.
	start uint64
	mark  string         // the private directory: the mark in environment and cwd; "": no mark
	seen  map[int]uint64 // those found once, by their start, whatever they do later
}

// pass kills what it finds but the root, and reaps what was adopted. It reports how many
// it found.
func (s *sweep) pass() (found int) {
	self, session := os.Getpid(), ownSession()
	procs := relatives()
	mine := map[int]bool{}
	root := s.root
	for _, p := range procs {
		if p.pid == root && s.start != 0 && p.start != s.start {
			root = 0 // the number is another's: nothing of the session is left
		}
	}
	if root != 0 {
		mine[root] = true
	}
	for grown := true; grown; {
		grown = false
		for _, p := range procs {
			if mine[p.pid] || p.pid == self {
				continue
			}
			start, known := s.seen[p.pid]
			if known && start == p.start || root != 0 && p.session == root || mine[p.ppid] || (p.ppid == self || s.foreign()) && s.marked(p.pid) {
				mine[p.pid], grown = true, true
				s.seen[p.pid] = p.start
			}
		}
	}
	for _, p := range procs {
		// A child is born into our session and can leave it only for one of its own
		// number, so one in any other was adopted, and nobody else waits for it.
		adopted := p.ppid == self && (mine[p.pid] || p.session != session && p.session != p.pid)
		switch {
		case p.pid == root:
		case p.zombie && adopted:
			// Its first thread may be a zombie while others of it still end: not to be had yet.
			if got, err := unix.Wait4(p.pid, nil, unix.WNOHANG, nil); got == 0 && err == nil && mine[p.pid] {
				found++
			}
		case mine[p.pid]:
			found++
			if !p.zombie {
				killExactly(p)
			}
		}
	}
	return found
}

// foreign reports whether orphans of the instance are not adopted by this process.
func (s *sweep) foreign() bool { return s.start != 0 }

// finish repeats until nothing is left.
func (s *sweep) finish() {
	for wait := 50 * time.Microsecond; s.pass() > 0; wait = min(2*wait, 20*time.Millisecond) {
		time.Sleep(wait)
	}
}

// marked reports whether the process still shows the private directory.
func (s *sweep) marked(pid int) bool {
	if s.mark == "" {
		return false
	}
	proc := "/proc/" + strconv.Itoa(pid)
	if cwd, err := os.Readlink(proc + "/cwd"); err == nil && (cwd == s.mark || strings.HasPrefix(cwd, s.mark+"/")) {
		return true
	}
	env, err := os.ReadFile(proc + "/environ")
	return err == nil && (bytes.Contains(env, []byte("="+s.mark+"\x00")) || bytes.Contains(env, []byte("="+s.mark+"/")))
}

// killExactly kills p and not another process that has come to its number.
func killExactly(p relative) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, ok := readRelative(p.pid); ok && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// reapAdopted reaps zombies of the group that this process was made the parent of: it
// is the first process of its container, or a subreaper. It reports how many processes are not
// done with: a process leaves the lists of its group before it becomes a zombie.
func reapAdopted(group string) (left int) {
	self := os.Getpid()
	for _, p := range relatives() {
		if p.zombie && p.ppid != self {
			continue // another has to
		}
		// It stays in its group until it is reaped, also when that is removed.
		text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cgroup")
		if err != nil || !bytes.Contains(text, []byte(group+"\n")) && !bytes.Contains(text, []byte(group+" ")) && !bytes.Contains(text, []byte(group+"/")) {
			continue
		}
		if left++; p.zombie {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
		}
	}
	return left
}

// relatives lists every process.
func relatives() []relative {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	procs := make([]relative, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readRelative(pid); ok {
				procs = append(procs, p)
			}
		}
	}
	return procs
}

func readRelative(pid int) (relative, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return relative{}, false
	}
	return parseStat(pid, text)
}

// parseStat reads "pid (name) state ppid pgrp session ... starttime ..." (proc(5)); the
// name may hold anything, the last ")" ends it.
func parseStat(pid int, text []byte) (p relative, ok bool) {
	_, after, ok := bytes.Cut(text, []byte("("))
	if i := bytes.LastIndexByte(after, ')'); ok && i >= 0 {
		after = after[i+1:]
	} else {
		return p, false
	}
	f := bytes.Fields(after)
	const startField = 19 // of those after the name
	if len(f) <= startField {
		return p, false
	}
	p = relative{pid: pid, zombie: f[0][0] == 'Z' || f[0][0] == 'X'}
	var errs [3]error
	p.ppid, errs[0] = strconv.Atoi(string(f[1]))
	p.session, errs[1] = strconv.Atoi(string(f[3]))
	p.start, errs[2] = strconv.ParseUint(string(f[startField]), 10, 64)
	return p, errs == [3]error{}
}

func ownSession() int {
	sid, err := unix.Getsid(0)
	if err != nil {
		return -1
	}
	return sid
}
