package dockerdriver

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Driver starts instances as containers. It implements driver.Driver, driver.LogSource,
// driver.Pauser, driver.StatsSource and driver.Recoverer. Safe for concurrent use.
type Driver struct {
	cfg    config
	log    *slog.Logger
	engine *engine
	images images
	info   driver.Info
	feed   driver.Feed
	slots  *semaphore.Weighted // containers that the engine creates or starts

	networking chan struct{} // holds one token: who makes the network

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	closed chan struct{} // closed when Close is done
	work   sync.WaitGroup

	mu      sync.Mutex
	root    string // holds the private directories; empty until it is needed
	lock    *os.File
	mark    string               // value of labelOwner on every container of this driver
	owned   bool                 // Recover has named the owner
	tasks   map[string]*instance // those that start included
	byID    map[string]*instance // by the id of the container
	bridged bool                 // the private network was used
}

var (
	_ driver.Driver      = (*Driver)(nil)
	_ driver.LogSource   = (*Driver)(nil)
	_ driver.Pauser      = (*Driver)(nil)
	_ driver.StatsSource = (*Driver)(nil)
	_ driver.Recoverer   = (*Driver)(nil)
)

// New connects to the engine, agrees on a version of its API and asks which limits it can apply. It
// starts no goroutine and makes nothing. Nil options are the zero options.
//
// Errors: ErrInvalidArgument (the options), ErrUnavailable (no engine listens there), ErrDenied (its
// socket may not be used), ErrUnimplemented (no common version of the API, or containers that are not
// Linux's), ErrTimeout, ErrCanceled.
func New(ctx context.Context, o *Options) (*Driver, error) {
	cfg, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, log: cfg.Logger, engine: newEngine(cfg.socket), slots: semaphore.NewWeighted(int64(cfg.Parallel)),
		networking: make(chan struct{}, 1), closed: make(chan struct{}), tasks: map[string]*instance{}, byID: map[string]*instance{}}
	d.images = images{engine: d.engine, pull: cfg.Pull}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	if err := d.connect(ctx); err != nil {
		d.cancel()
		d.engine.close()
		return nil, engineError(ctx, "configure", cfg.Host, err)
	}
	return d, nil
}

// engineTime bounds a call to the engine that nobody else bounds; starts in a crowd take long.
const engineTime = time.Minute

func (d *Driver) connect(ctx context.Context) error {
	if err := d.engine.negotiate(ctx); err != nil {
		return err
	}
	var can struct {
		OSType                 string
		MemoryLimit, PidsLimit bool
		CPUCfsQuota            bool // also from "CpuCfsQuota" of older engines: the decoder ignores case
	}
	if err := d.engine.call(ctx, http.MethodGet, "/info", nil, nil, &can); err != nil {
		return err
	}
	if can.OSType != "linux" {
		return faas.Errorf(component, "configure", d.cfg.Host, faas.ErrUnimplemented, "the engine runs containers of %q, not of linux", can.OSType)
	}
	d.info = driver.Info{Name: "docker", Version: "1", Isolation: faas.IsolationContainer,
		Contracts: []faas.Contract{faas.ContractSocket, faas.ContractHTTP},
		Limits: driver.LimitSupport{Memory: can.MemoryLimit, Pids: can.PidsLimit, MilliCPU: can.CPUCfsQuota,
			Files: true, FileSize: true},
		Logs: true, Recover: true, Images: true, Pause: true, Stats: true, NeedsCode: true}
	return nil
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
			return s, nil
		}
	}
	i.abandon()
	return driver.Status{}, err
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
	if d.root == "" {
		if err := d.settle(); err != nil {
			return nil, err
		}
	}
	t.Command, t.Env, t.Labels = slices.Clone(t.Command), maps.Clone(t.Env), maps.Clone(t.Labels)
	t.StartTimeout = cmp.Or(t.StartTimeout, faas.DefaultStartTimeout)
	i := newInstance(d, driver.Status{ID: t.ID, Labels: t.Labels})
	i.task = t
	d.tasks[t.ID] = i
	d.work.Add(1)
	return i, nil
}

// settle makes the directory of the private directories, whose name is the mark of a driver without an
// owner, and begins to observe the engine. The caller holds mu.
func (d *Driver) settle() error {
	err := os.MkdirAll(d.cfg.Dir, 0o755)
	if err == nil {
		d.root, err = os.MkdirTemp(d.cfg.Dir, "joinery-docker-")
	}
	if err != nil {
		return faas.Errorf(component, "configure", "Dir", faas.ErrInternal, "%w", err)
	}
	d.mark = "_" + filepath.Base(d.root) // '_' is in no owner's name
	d.work.Go(d.observe)
	return nil
}

// admit lists an instance that is ready, if nothing has come between.
func (d *Driver) admit(ctx context.Context, i *instance) (driver.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return driver.Status{}, faas.ContextError(ctx, component, "start", i.status.ID)
	case d.ctx.Err() != nil:
		return driver.Status{}, closedError("start", i.status.ID)
	case i.status.Exit != nil:
		return driver.Status{}, i.status.Exit.Err(i.status.ID)
	}
	i.status.State, i.status.Ready = driver.StateRunning, time.Now()
	d.feed.Publish(i.status)
	return i.status, nil
}

// find returns a listed task. The caller holds mu.
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

// lookup is find for callers without mu.
func (d *Driver) lookup(op, id string) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(op, id)
}

// Stop implements driver.Driver. Should the engine fail to remove the container, Stop says so, and the
// driver goes on trying.
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
	if grace == 0 || i.status.State == driver.StateEnded {
		i.remove()
	} else {
		i.forced = append(i.forced, time.AfterFunc(grace, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			i.remove()
		}))
		if first {
			d.work.Go(i.terminate)
		}
	}
	trouble := i.trouble
	d.mu.Unlock()
	select {
	case <-i.gone:
		return nil
	case <-trouble.seen:
		return engineError(ctx, "stop", id, trouble.err)
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

// Close implements driver.Driver. A concurrent second Close returns after the first. When the engine
// does not answer, its error says that containers may be left; they carry the label joinery.owner.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.ctx.Err() != nil {
		d.mu.Unlock()
		<-d.closed
		return nil
	}
	d.cancel() // starts fail from here on
	settled := d.root != ""
	for _, i := range d.tasks {
		if i.status.State != "" {
			i.stopping = true
			i.remove()
		}
	}
	d.mu.Unlock()
	d.work.Wait()
	var err error
	if settled {
		ctx, cancel := context.WithTimeout(context.Background(), engineTime)
		defer cancel()
		err = d.sweep(ctx)
		if d.bridged || d.owned {
			if e := d.dropNetwork(ctx); e != nil && err == nil {
				err = engineError(ctx, "close", d.privateNetwork(), e)
			}
		}
		if e := os.RemoveAll(d.root); e != nil {
			err = errors.Join(err, faas.Errorf(component, "close", d.root, faas.ErrInternal, "%w", e))
		}
		if d.lock != nil {
			_ = d.lock.Close()
		}
	}
	d.mu.Lock()
	for _, i := range d.tasks { // of those that the engine did not remove
		if i.status.State != "" {
			i.forget()
		}
	}
	d.mu.Unlock()
	d.feed.Close()
	d.engine.close()
	close(d.closed)
	return err
}

// sweep removes every container with this driver's mark that no task is left for.
func (d *Driver) sweep(ctx context.Context) error {
	all, err := d.marked(ctx)
	if err != nil {
		return engineError(ctx, "close", d.cfg.Host, err)
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for n, c := range all {
		wg.Go(func() { errs[n] = engineError(ctx, "close", c.ID, d.removeContainer(ctx, c.ID)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func closedError(op, id string) error {
	return faas.Errorf(component, op, id, faas.ErrClosed, "the driver was closed")
}
