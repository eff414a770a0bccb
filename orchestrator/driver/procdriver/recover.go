//go:build linux

package procdriver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

const (
	rootPrefix = "joinery-proc-"
	// deedName is the file that says whose a driver's directory is. The living driver holds a lock on it.
	deedName = ".owner"
)

// deed is what that file says.
type deed struct {
	Owner  string       `json:"owner"`
	Groups []deedGroup  `json:"groups,omitempty"` // of the driver, one in each hierarchy
	Limits map[kind]int `json:"limits,omitempty"` // by which of them
	Track  int          `json:"track,omitempty"`
}

type deedGroup struct {
	Dir string `json:"dir"`
	V2  bool   `json:"v2,omitempty"`
}

// newDeed names the owner of a driver with these groups.
func newDeed(owner string, c *cgroups) deed {
	of := deed{Owner: owner}
	if c != nil {
		for _, h := range c.all {
			of.Groups = append(of.Groups, deedGroup{h.dir, h.v2})
		}
		of.Limits, of.Track = c.limit, c.track
	}
	return of
}

// cgroups are those of the deed; ok is false if they cannot be those of a driver.
func (of *deed) cgroups() (c *cgroups, ok bool) {
	if len(of.Groups) == 0 {
		return nil, true
	}
	c = &cgroups{limit: of.Limits, track: of.Track}
	for _, g := range of.Groups {
		if !filepath.IsAbs(g.Dir) || filepath.Clean(g.Dir) != g.Dir || !strings.HasPrefix(filepath.Base(g.Dir), "joinery-") {
			return nil, false
		}
		c.all = append(c.all, hierarchy{g.Dir, g.V2})
	}
	within := func(i int) bool { return i >= 0 && i < len(c.all) }
	for _, i := range of.Limits {
		if !within(i) {
			return nil, false
		}
	}
	return c, within(of.Track)
}

// estate is the directory and the groups of a driver that is dead, while instances live in them.
type estate struct {
	root   string
	groups *cgroups
	lock   *os.File

	mu    sync.Mutex
	heirs int // instances, and Recover while it is under way
}

// Recover implements driver.Recoverer.
func (d *Driver) Recover(ctx context.Context, owner string, known []driver.Handle) (driver.Recovery, error) {
	var found driver.Recovery
	if err := faas.ValidateName("owner", owner); err != nil {
		return found, err
	}
	ids := map[string]bool{}
	for _, h := range known {
		if ids[h.ID] {
			return found, faas.Errorf(component, "recover", h.ID, faas.ErrInvalidArgument, "two handles have this id")
		}
		ids[h.ID] = true
	}
	if ctx.Err() != nil {
		return found, faas.ContextError(ctx, component, "recover", owner)
	}
	d.mu.Lock()
	switch {
	case d.ctx.Err() != nil:
		d.mu.Unlock()
		return found, closedError("recover", owner)
	case d.owner != "" || d.started:
		d.mu.Unlock()
		return found, faas.Errorf(component, "recover", owner, faas.ErrConflict, "it comes once, and before the first Start")
	}
	lock, err := d.claim(owner)
	if err != nil {
		d.mu.Unlock()
		return found, spawnError("recover", owner, "mark the directory", err)
	}
	_ = d.deed.Close() // of the former one, which has no name any more
	d.deed, d.owner = lock, owner
	d.work.Add(1) // Close waits
	d.mu.Unlock()
	defer d.work.Done()

	roots := []string{}
	clearLitter(filepath.Dir(d.root))
	if matches, err := filepath.Glob(filepath.Join(filepath.Dir(d.root), rootPrefix+"*")); err == nil {
		roots = append(roots, matches...)
	}
	for _, h := range known {
		if s, err := decode(&h); err == nil {
			roots = append(roots, filepath.Dir(s.Dir))
		}
	}
	slices.Sort(roots)
	estates := map[string]*estate{}
	for _, root := range slices.Compact(roots) {
		if e := inherit(root, owner); e != nil {
			estates[root] = e
		}
	}
	taken := map[string]bool{} // private directories
	for _, h := range known {
		s, err := d.adopt(ctx, h, estates, taken)
		if err != nil {
			found.Lost = append(found.Lost, driver.Loss{ID: h.ID, Err: err})
			continue
		}
		taken[s] = true
		found.Adopted = append(found.Adopted, h.ID)
	}
	for _, e := range estates {
		found.Strays = append(found.Strays, e.clear(taken)...)
		e.leave()
	}
	return found, nil
}

// clearLitter removes the directories of drivers that died before they had an owner or a task.
func clearLitter(dir string) {
	roots, _ := filepath.Glob(filepath.Join(dir, rootPrefix+"*"))
	for _, root := range roots {
		e := inherit(root, "")
		if e == nil {
			continue
		}
		names, _ := filepath.Glob(filepath.Join(root, "[0-9]*"))
		for _, name := range names {
			_ = os.Remove(name) // which only an empty one can be
		}
		if left, _ := filepath.Glob(filepath.Join(root, "[0-9]*")); len(left) == 0 {
			e.leave()
		} else { // nobody's tasks
			_ = e.lock.Close()
		}
	}
}

// claim writes the deed of this driver, whose owner may not be known yet.
func (d *Driver) claim(owner string) (*os.File, error) {
	data, err := json.Marshal(newDeed(owner, d.groups))
	if err != nil {
		return nil, err
	}
	// Locked before it can be seen under its name.
	f, err := os.CreateTemp(d.root, deedName)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(d.root, deedName))
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// inherit takes over the directory of a dead driver of the owner; nil if it is not one.
func inherit(root, owner string) *estate {
	var st unix.Stat_t
	if unix.Lstat(root, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
		return nil // somebody else's, who may have written anything there
	}
	f, err := os.Open(filepath.Join(root, deedName))
	if err != nil {
		return nil
	}
	var of deed
	err = json.NewDecoder(io.LimitReader(f, 64<<10)).Decode(&of)
	if err == nil && of.Owner == owner {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	groups, ok := of.cgroups()
	if _, e := os.Stat(root); e != nil {
		ok = false // removed by the one who had the lock
	}
	if err != nil || of.Owner != owner || !ok {
		_ = f.Close()
		return nil
	}
	return &estate{root: root, groups: groups, lock: f, heirs: 1}
}

// clear removes what is in the estate and was not taken.
func (e *estate) clear(taken map[string]bool) (strays []string) {
	names := map[string]bool{}
	note := func(dir string) {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if entry.IsDir() {
				names[entry.Name()] = true
			}
		}
	}
	note(e.root)
	if e.groups != nil {
		for _, h := range e.groups.all {
			note(h.dir)
		}
	}
	for name := range names {
		dir := filepath.Join(e.root, name)
		if taken[dir] {
			continue
		}
		files, _ := os.ReadDir(dir)
		if e.kill(dir) || len(files) > 0 { // else it is the spare directory
			strays = append(strays, dir)
		}
		removeAll(dir)
	}
	return strays
}

// kill ends everything of an instance by its private directory, and reports whether there was anything.
func (e *estate) kill(dir string) bool {
	if g := e.groups.reopen(filepath.Base(dir), faas.Resources{}); g != nil {
		lived := len(members(g.track)) > 0
		for _, sub := range subgroups(g.track) {
			lived = lived || len(members(sub)) > 0
		}
		g.own = append(g.own, subgroups(g.track)...)
		g.kill()
		g.remove(nil)
		return lived
	}
	s := sweep{mark: dir, seen: map[int]uint64{}, start: 1}
	lived := s.pass() > 0
	s.finish()
	return lived
}

// join counts an instance.
func (e *estate) join() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heirs++
}

// leave gives the estate up when nobody is left in it. A nil estate is the driver's own.
func (e *estate) leave() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heirs--; e.heirs > 0 {
		return
	}
	e.groups.close()
	removeAll(e.root)
	_ = e.lock.Close()
}

// adopt makes the task of a handle one of this driver's, and returns its private directory.
func (d *Driver) adopt(ctx context.Context, h driver.Handle, estates map[string]*estate, taken map[string]bool) (string, error) {
	if err := h.Validate(d.info.Name); err != nil {
		return "", err
	}
	s, err := decode(&h)
	if err != nil {
		return "", err
	}
	lost := func(class error, format string, args ...any) (string, error) {
		return "", faas.Errorf(component, "recover", h.ID, class, format, args...)
	}
	e := estates[filepath.Dir(s.Dir)]
	switch {
	case taken[s.Dir]:
		return lost(faas.ErrCorrupt, "another handle has the same state")
	case e == nil && dirExists(s.Dir):
		return lost(faas.ErrConflict, "its directory is another owner's, or that of a driver that lives")
	case e == nil, s.Boot != bootID():
		return lost(faas.ErrNotFound, "nothing is left of it")
	}
	i := &instance{d: d, task: driver.Task{ID: h.ID, Contract: s.Contract, Labels: s.Labels, Limits: s.Limits, Concurrency: s.Concurrency},
		dir: s.Dir, estate: e, log: newTaskLog(d.keep, d.rate), handle: &h,
		ended: make(chan struct{}), gone: make(chan struct{}), cancelStart: func() {},
		status: driver.Status{ID: h.ID, Endpoint: s.Endpoint, Labels: s.Labels, Started: s.Started, Ready: s.Ready}}
	e.join()
	switch {
	case s.Exit != nil:
		i.status.Exit = s.Exit
		e.kill(i.dir)
		removeAll(i.dir)
		e.leave()
		close(i.ended)
	case s.Contract == faas.ContractStdio:
		err = i.serveAgain(ctx, s)
	default:
		err = i.hold(s)
	}
	if err != nil {
		e.leave()
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks[h.ID] = i
	i.status.State = driver.StateRunning
	if i.status.Exit != nil { // or it has ended since
		i.status.State = driver.StateEnded
	}
	d.feed.Publish(i.status)
	return i.dir, nil
}

// hold takes over a process that goes on as if nothing had happened.
func (i *instance) hold(s state) error {
	g := i.estate.groups.reopen(filepath.Base(s.Dir), s.Limits)
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err == nil {
		if p, ok := readRelative(s.PID); !ok || p.start != s.Start {
			_ = unix.Close(fd)
			err = unix.ESRCH
		}
	}
	if err == nil {
		if err = unix.SetNonblock(fd, true); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		// It ended while nobody watched, and only its group may know how.
		if g.outOfMemory() > s.OOMs {
			i.status.Exit = &driver.Exit{Reason: driver.ExitOutOfMemory, Code: -1}
			i.estate.kill(i.dir)
			removeAll(i.dir)
			i.estate.leave()
			close(i.ended)
			return nil
		}
		class := faas.ErrNotFound
		if !errors.Is(err, unix.ESRCH) {
			class = faas.ErrInternal
		}
		return faas.Errorf(component, "recover", i.task.ID, class, "process %d: %w", s.PID, err)
	}
	i.tree = &tree{d: i.d, group: g, mark: i.dir, ooms: s.OOMs,
		proc: &process{pid: s.PID, start: s.Start, fd: os.NewFile(uintptr(fd), "pidfd")}}
	if s.Contract == faas.ContractHTTP {
		if _, port, ok := cutPort(s.Endpoint.Address); ok {
			i.port = port
			i.d.mu.Lock()
			i.d.ports[port] = struct{}{}
			i.d.mu.Unlock()
		}
	}
	i.tend(openPipe(s.PID, 1, s.Stdout), openPipe(s.PID, 2, s.Stderr), func() {})
	return nil
}

// serveAgain serves the endpoint of a stdio instance, whose calls died with the driver.
func (i *instance) serveAgain(ctx context.Context, s state) error {
	i.estate.kill(i.dir)
	i.image = image{path: s.Path, argv: s.Argv, env: s.Env, dir: i.dir, limits: s.Limits}
	i.d.mu.Lock()
	i.d.next++
	i.group = strconv.FormatUint(i.d.next, 10)
	i.d.mu.Unlock()
	socket := filepath.Join(i.dir, "s")
	if s.Endpoint != (driver.Endpoint{Network: "unix", Address: socket}) {
		return faas.Errorf(component, "recover", i.task.ID, faas.ErrCorrupt, "the endpoint %q is not in the private directory", s.Endpoint.Address)
	}
	_ = os.Remove(socket)
	if err := i.serveCalls(ctx, socket); err != nil {
		return spawnError("recover", i.task.ID, "serve it again", err)
	}
	return nil
}

func dirExists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
