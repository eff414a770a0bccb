//go:build linux

package procdriver

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Driver starts instances as processes. It implements driver.Driver, driver.LogSource
// and driver.Recoverer. Safe for concurrent use.
type Driver struct {
	log    *slog.Logger
	keep   int64
	rate   int64
	root   string // holds the private directories
	null   uintptr
	nullFD *os.File
	groups *cgroups // nil: none
	umask  int      // of this process
	info   driver.Info
	feed   driver.Feed

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	closed chan struct{} // closed when Close is done
	work   sync.WaitGroup

	mu      sync.Mutex
	tasks   map[string]*instance // those that start included
	next    uint64
	spare   string // a private directory for the next start; empty: none
	ports   map[int]struct{}
	deed    *os.File // locked
	owner   string   // "" until Recover
	started bool     // a Start was called
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.LogSource = (*Driver)(nil)
	_ driver.Recoverer = (*Driver)(nil)
)

// New makes the directories and groups that the driver needs and finds out which
// limits can be applied. It starts no goroutine. Nil options are the zero options.
//
// It marks every descriptor above 2 that is open in this process as close-on-exec,
// and without cgroups it makes this process a child subreaper; see the package's documentation.
//
// Errors: ErrInvalidArgument (the options), ErrUnimplemented (not Linux, or older than 5.10, or processes
// cannot be controlled as by a debugger), ErrDenied or ErrInternal (the directory).
func New(o *Options) (*Driver, error) {
	v, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{log: v.Logger, keep: v.LogKeep, rate: v.LogRate,
		closed: make(chan struct{}), tasks: map[string]*instance{}, ports: map[int]struct{}{}, umask: ownUmask()}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if err := d.open(v); err != nil {
		d.cleanUp()
		return nil, err
	}
	return d, nil
}

func (d *Driver) open(o Options) (err error) {
	fail := func(what string, err error) error {
		return spawnError("configure", "", what, err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fail("directory", err)
	}
	if d.root, err = os.MkdirTemp(o.Dir, rootPrefix); err != nil {
		return fail("directory", err)
	}
	if d.nullFD, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return fail(os.DevNull, err)
	}
	d.null = d.nullFD.Fd()
	const firstInheritable = 3
	if err := unix.CloseRange(firstInheritable, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		d.log.Debug("descriptors inherited by the platform reach the functions", "error", err)
	}
	if !o.NoCgroups {
		d.groups = findCgroups(fmt.Sprintf("joinery-%d-%s", os.Getpid(), strings.TrimPrefix(filepath.Base(d.root), rootPrefix)))
	}
	// What is found is tried out on this very program, which does not come to run.
	if d.groups != nil {
		if err := d.try(); err != nil {
			d.log.Warn("processes cannot be put into the cgroups found; no limits of CPU, memory and pids", "error", err)
			d.groups.close()
			d.groups = nil
		}
	}
	if d.groups == nil {
		if err := d.try(); err != nil {
			e := faas.Errorf(component, "configure", "proc", faas.ErrUnimplemented, "cannot control a process: %w", err)
			e.Next = "it takes Linux 5.10 or later and the right to ptrace one's own children"
			return e
		}
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fail("child subreaper", err)
		}
	}
	d.info = driver.Info{Name: "proc", Version: "1", Isolation: faas.IsolationProcess, Logs: true, Recover: true, NeedsCode: true,
		Contracts: []faas.Contract{faas.ContractInherit, faas.ContractSocket, faas.ContractHTTP, faas.ContractStdio},
		Limits:    driver.LimitSupport{Files: true, FileSize: true}}
	d.groups.support(&d.info.Limits)
	if d.deed, err = d.claim(""); err != nil {
		return fail("directory", err)
	}
	d.restock()
	return nil
}

// try starts this program under one limit of each kind, up to its first instruction.
func (d *Driver) try() error {
	limits := faas.Resources{Files: 16, FileSize: 1 << 20}
	if d.groups != nil {
		var s driver.LimitSupport
		if d.groups.support(&s); s.MilliCPU {
			limits.MilliCPU = 1000
		}
		if s.Memory {
			limits.Memory = 64 << 20
		}
		if s.Pids {
			limits.Pids = 16
		}
	}
	g, err := d.groups.open("try", limits, true)
	if err != nil {
		return err
	}
	defer g.remove(nil)
	return d.check(d.ctx, &image{path: "/proc/self/exe", argv: []string{"try"}, dir: d.root, limits: limits}, g)
}

// Info implements driver.Driver.
func (d *Driver) Info(ctx context.Context) (driver.Info, error) {
	if d.ctx.Err() != nil {
		return driver.Info{}, closedError("info", "")
	}
	info := d.info
	info.Contracts = slices.Clone(info.Contracts)
	return info, nil
}

// Start implements driver.Driver.
func (d *Driver) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	if err := d.info.Accepts(&t); err != nil {
		return driver.Status{}, err
	}
	if ctx.Err() != nil {
		return driver.Status{}, faas.ContextError(ctx, component, "start", t.ID)
	}
	i, err := d.reserve(t)
	if err != nil {
		return driver.Status{}, err
	}
	defer d.work.Done()
	if err = i.start(ctx); err == nil {
		var s driver.Status
		if s, err = d.admit(ctx, i); err == nil {
			d.work.Go(d.restock)
			return s, nil
		}
	}
	i.abandon()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tasks, t.ID)
	return driver.Status{}, err
}

// takeDir returns a new private directory: the spare one, as making a directory can
// take as long as a tenth of a start.
func (d *Driver) takeDir() (string, error) {
	d.mu.Lock()
	dir := d.spare
	d.spare = ""
	d.mu.Unlock()
	if dir != "" {
		return dir, nil
	}
	return d.makeDir()
}

func (d *Driver) makeDir() (string, error) {
	d.mu.Lock()
	d.next++
	dir := d.root + "/" + strconv.FormatUint(d.next, 10)
	d.mu.Unlock()
	return dir, os.Mkdir(dir, 0o700)
}

// restock makes the spare directory of the next start.
func (d *Driver) restock() {
	d.mu.Lock()
	stocked := d.spare != ""
	d.mu.Unlock()
	if stocked {
		return
	}
	dir, err := d.makeDir()
	if err != nil {
		return // the next start will say so
	}
	d.mu.Lock()
	stocked = d.spare != ""
	if !stocked {
		d.spare = dir
	}
	d.mu.Unlock()
	if stocked {
		_ = os.Remove(dir)
	}
}

// reserve takes the task's id, and holds Close back until the start is over.
func (d *Driver) reserve(t driver.Task) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return nil, closedError("start", t.ID)
	}
	if _, taken := d.tasks[t.ID]; taken {
		return nil, faas.Errorf(component, "start", t.ID, faas.ErrAlreadyExists, "a task of that id is listed")
	}
	t.Command, t.Env, t.Labels = slices.Clone(t.Command), maps.Clone(t.Env), maps.Clone(t.Labels)
	i := &instance{d: d, task: t, log: newTaskLog(d.keep, d.rate),
		ended: make(chan struct{}), gone: make(chan struct{}), status: driver.Status{ID: t.ID, Labels: t.Labels}}
	d.tasks[t.ID] = i
	d.started = true
	d.work.Add(1)
	return i, nil
}

// admit lists an instance that is ready, if nothing has come between.
func (d *Driver) admit(ctx context.Context, i *instance) (driver.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return driver.Status{}, faas.ContextError(ctx, component, "start", i.task.ID)
	case d.ctx.Err() != nil:
		return driver.Status{}, closedError("start", i.task.ID)
	case i.status.Exit != nil:
		return driver.Status{}, i.exitError()
	}
	i.status.State, i.status.Ready = driver.StateRunning, time.Now()
	d.feed.Publish(i.status)
	return i.status, nil
}

// forget ends the life of a task. The caller holds mu.
func (d *Driver) forget(i *instance) {
	for _, t := range i.forced {
		t.Stop()
	}
	i.status.State = driver.StateGone
	delete(d.tasks, i.task.ID)
	d.feed.Publish(i.status)
	i.log.close()
	close(i.gone)
}

// lookup returns a listed task.
func (d *Driver) lookup(op, id string) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(op, id)
}

func (d *Driver) find(op, id string) (*instance, error) {
	if d.ctx.Err() != nil {
		return nil, closedError(op, id)
	}
	i, ok := d.tasks[id]
	if !ok || i.status.State == "" {
		return nil, faas.Errorf(component, op, id, faas.ErrNotFound, "no task of that id is listed")
	}
	return i, nil
}

// Stop implements driver.Driver.
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	if grace < 0 {
		return faas.Errorf(component, "stop", id, faas.ErrInvalidArgument, "the grace is negative")
	}
	d.mu.Lock()
	i, err := d.find("stop", id)
	if err != nil {
		d.mu.Unlock()
		return err
	}
	first := !i.stopping
	i.stopping = true
	if i.status.State == driver.StateEnded {
		d.forget(i)
	} else if grace > 0 {
		i.forced = append(i.forced, time.AfterFunc(grace, i.kill))
	}
	d.mu.Unlock()

	switch {
	case grace == 0:
		i.kill()
	case first:
		i.terminate(grace)
	}
	select {
	case <-i.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "stop", id)
	}
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context) ([]driver.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return nil, closedError("list", "")
	}
	return d.list(), nil
}

func (d *Driver) list() []driver.Status {
	all := make([]driver.Status, 0, len(d.tasks))
	for _, i := range d.tasks {
		if i.status.State != "" {
			all = append(all, i.status)
		}
	}
	return all
}

// Watch implements driver.Driver.
func (d *Driver) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return d.feed.Watch(ctx, func(register func(...driver.Status)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		register(d.list()...)
	})
}

// Close implements driver.Driver. A concurrent second Close returns after the first.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.ctx.Err() != nil {
		d.mu.Unlock()
		<-d.closed
		return nil
	}
	d.cancel() // starts fail from here on
	var all []*instance
	for _, i := range d.tasks {
		if i.status.State == "" {
			continue
		}
		i.stopping = true
		if i.status.State == driver.StateEnded {
			d.forget(i)
		} else {
			all = append(all, i)
		}
	}
	d.mu.Unlock()
	for _, i := range all {
		i.kill()
	}
	d.work.Wait()
	d.feed.Close()
	d.cleanUp()
	close(d.closed)
	return nil
}

// cleanUp frees what open took.
func (d *Driver) cleanUp() {
	d.cancel()
	d.groups.close()
	if d.nullFD != nil {
		_ = d.nullFD.Close()
	}
	if d.root != "" {
		removeAll(d.root)
	}
	if d.deed != nil {
		_ = d.deed.Close()
	}
}

// reaper returns what reaps the adopted zombies of a group; nil if orphans do not become
// children of this process.
func (d *Driver) reaper(g *group) func() int {
	if g == nil || os.Getpid() != 1 && !isSubreaper() {
		return nil
	}
	parent := filepath.Dir(d.groups.all[d.groups.track].dir)
	name := strings.TrimPrefix(g.track, parent)
	return func() int { return reapAdopted(name) }
}

func closedError(op, id string) error {
	return faas.Errorf(component, op, id, faas.ErrClosed, "the driver was closed")
}

func isSubreaper() bool {
	var on int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&on)), 0, 0, 0)
	return err == nil && on != 0
}

// ownUmask reads the umask without changing it; -1 if it cannot.
func ownUmask() int {
	f, err := os.Open("/proc/thread-self/status") // the first thread may have been given one of its own
	if err != nil {
		return -1
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "Umask:"); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 8, 32); err == nil {
				return int(n)
			}
		}
	}
	return -1
}
