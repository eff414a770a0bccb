//go:build linux

package procdriver

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
)

// group is the cgroup of an instance, or of one call of a stdio instance: one
// directory in each hierarchy that it needs. A nil *group is none.
type group struct {
	own    []string // directories to remove at the end
	enter  []string // version 1 directories a process has to be moved to
	track  string   // the directory that lists the processes
	v2     bool     // of track
	memory string   // the directory that counts out-of-memory kills; "" without a memory limit
	fd     int      // of track in version 2, to be born into; else -1
	pids   string   // a version 1 pids directory; "" if none
}

// open makes the group of an instance.
func (c *cgroups) open(name string, l faas.Resources, oomGroup bool) (*group, error) {
	if c == nil {
		return nil, nil
	}
	g := &group{fd: -1}
	dirs := make([]string, len(c.all))
	dir := func(i int) (string, error) {
		if dirs[i] == "" {
			d := filepath.Join(c.all[i].dir, name)
			if err := os.Mkdir(d, 0o755); err != nil {
				return "", err
			}
			dirs[i] = d
			g.own = append(g.own, d)
			if !c.all[i].v2 {
				g.enter = append(g.enter, d)
			}
		}
		return dirs[i], nil
	}
	err := func() (err error) {
		if g.track, err = dir(c.track); err != nil {
			return err
		}
		g.v2 = c.all[c.track].v2
		for _, want := range []struct {
			k     kind
			value int64
		}{{kindCPU, l.MilliCPU}, {kindMemory, l.Memory}, {kindPids, l.Pids}} {
			if want.value == 0 {
				continue
			}
			i := c.limit[want.k]
			d, err := dir(i)
			if err != nil {
				return err
			}
			required, optional := c.all[i].settings(want.k, l, oomGroup)
			for _, s := range required {
				if err := os.WriteFile(filepath.Join(d, s.file), []byte(s.value), 0); err != nil {
					return err
				}
			}
			for _, s := range optional {
				_ = os.WriteFile(filepath.Join(d, s.file), []byte(s.value), 0)
			}
			switch {
			case want.k == kindMemory:
				g.memory = d
			case want.k == kindPids && !c.all[i].v2:
				g.pids = d
			}
		}
		return g.openFD()
	}()
	if err != nil {
		g.remove(nil)
		return nil, err
	}
	return g, nil
}

// openFD makes it possible to be born into the group.
func (g *group) openFD() (err error) {
	if g.v2 {
		g.fd, err = unix.Open(g.track, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return err
}

// child makes a group within g: under its limits, but with processes of its own.
func (g *group) child(name string) (*group, error) {
	if g == nil {
		return nil, nil
	}
	c := &group{track: filepath.Join(g.track, name), v2: g.v2, memory: g.memory, fd: -1}
	if err := os.Mkdir(c.track, 0o755); err != nil {
		return nil, err
	}
	c.own = []string{c.track}
	for _, d := range g.enter {
		if d == g.track {
			d = c.track
		}
		c.enter = append(c.enter, d)
	}
	if !g.v2 && g.memory == g.track {
		c.memory = c.track // version 1 counts in the group of the victim
	}
	if err := c.openFD(); err != nil {
		c.remove(nil)
		return nil, err
	}
	return c, nil
}

// add moves a process into the version 1 groups.
func (g *group) add(pid int) error {
	if g == nil {
		return nil
	}
	text := strconv.AppendInt(nil, int64(pid), 10)
	for _, d := range g.enter {
		if err := os.WriteFile(filepath.Join(d, "cgroup.procs"), text, 0); err != nil {
			return err
		}
	}
	return nil
}

// outOfMemory counts the processes that were killed for going over the memory limit.
func (g *group) outOfMemory() int {
	if g == nil || g.memory == "" {
		return 0
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(g.memory, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				count, _ := strconv.Atoi(strings.TrimSpace(n))
				return count
			}
		}
	}
	return 0
}

// kill sends SIGKILL to every process in the group, once.
func (g *group) kill() {
	if g == nil || g.track == "" {
		return
	}
	if g.v2 && os.WriteFile(filepath.Join(g.track, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	if g.pids != "" { // nobody forks while the list is read
		_ = os.WriteFile(filepath.Join(g.pids, "pids.max"), []byte("0"), 0)
	}
	g.killIn(g.track)
}

func (g *group) killIn(dir string) {
	for _, pid := range members(dir) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// The descriptor holds on to one process; it is ours if the group still lists it.
		if slices.Contains(members(dir), pid) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
	for _, sub := range subgroups(dir) {
		g.killIn(sub)
	}
}

// remove kills what is left in the group and returns when it is gone. reap, if not
// nil, is then called until it reports that nothing is left to reap.
func (g *group) remove(reap func() int) {
	if g == nil {
		return
	}
	if g.fd >= 0 {
		_ = unix.Close(g.fd)
		g.fd = -1
	}
	for i, dir := range slices.Backward(g.own) {
		for wait := 50 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
			err := os.Remove(dir)
			if err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			for _, sub := range subgroups(dir) { // made by the processes themselves
				_ = os.Remove(sub)
			}
			if i == 0 || wait > time.Millisecond {
				g.kill()
			}
			time.Sleep(wait)
		}
	}
	for wait := 50 * time.Microsecond; reap != nil && reap() > 0; wait = min(2*wait, 20*time.Millisecond) {
		time.Sleep(wait)
	}
}

// members lists the processes of one directory.
func members(dir string) []int {
	text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	var pids []int
	for line := range strings.Lines(string(text)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// subgroups lists the groups below dir, the deepest first.
func subgroups(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var subs []string
	for _, e := range entries {
		if e.IsDir() {
			sub := filepath.Join(dir, e.Name())
			subs = append(append(subs, subgroups(sub)...), sub)
		}
	}
	return subs
}
