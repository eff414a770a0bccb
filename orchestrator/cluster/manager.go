package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// Defaults of ManagerConfig and AgentConfig.
const (
	DefaultStableAfter = time.Minute
	DefaultLeaseTTL    = 10 * time.Second
)

// retryAfter is the delay before a call to the naming service or a driver that failed
// for no reason of ours is repeated.
const retryAfter = 250 * time.Millisecond

const managerName = "resource manager"

// ManagerConfig is what NewManager needs.
type ManagerConfig struct {
	// Naming (R1) holds desired and observed state. Required.
	Naming orchestrator.NamingService
	// Scheduler (R3) decides on the node. Required.
	Scheduler orchestrator.Scheduler
	// Backoff delays the restarts of workloads that end by themselves or fail to start.
	// Restarts for want of the node (lost, draining) are not delayed. Zero: 1 s, 1.15, 300 s.
	Backoff orchestrator.Backoff
	// StableAfter is how long a workload must have been running so that its next end counts
	// as the first in a row. Zero: DefaultStableAfter.
	StableAfter time.Duration
	// LeaseTTL is how soon another manager takes over from one that was killed. Zero: DefaultLeaseTTL.
	LeaseTTL time.Duration
	// Logger receives placements and ends at debug level and faults as warnings. Nil: discard.
	Logger *slog.Logger
}

// Manager is the resource manager over a naming service. Create it with NewManager.
type Manager struct {
	cfg    ManagerConfig
	log    *slog.Logger
	holder string // what identifies this manager among others
	begun  atomic.Bool
	synced chan struct{} // closed once the cache holds what was there when Run began
	done   chan struct{} // closed when Run has ended

	// mu guards everything below: a cache of the records, and what follows from it.
	mu        sync.Mutex
	revs      map[string]faas.Revision // of every name that exists
	rev       faas.Revision            // up to which the watch has delivered
	workloads map[string]*workload
	nodes     map[string]*node
	states    []orchestrator.NodeState // of the live nodes, in the order of their names
	stale     bool                     // states is to be rebuilt
	leading   bool
	vacancy   chan struct{} // has one element after the leader's record went away
	dirty     []*workload   // to be settled
	pending   []*workload   // to be placed, the oldest first
	tried     int           // so many of them did not fit and nothing was freed since
	abandoned int           // so many of them do not wait any more
	freed     bool
	todo      []write
	wake      chan struct{} // has one element when there is something to place or write
	watchers  map[*watcher]struct{}
}

var _ orchestrator.ResourceManager = (*Manager)(nil)

// NewManager returns a manager that decides nothing until Run. Errors: ErrInvalidArgument,
// all faults at once.
func NewManager(cfg ManagerConfig) (*Manager, error) {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf(managerName, "configure", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if cfg.Naming == nil {
		bad("Naming", "is required")
	}
	if cfg.Scheduler == nil {
		bad("Scheduler", "is required")
	}
	if cfg.StableAfter < 0 {
		bad("StableAfter", "is negative")
	}
	if cfg.LeaseTTL < 0 {
		bad("LeaseTTL", "is negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.StableAfter = cmp.Or(cfg.StableAfter, DefaultStableAfter)
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, DefaultLeaseTTL)
	return &Manager{
		cfg: cfg, log: logger(cfg.Logger), holder: uuid.NewString(),
		synced: make(chan struct{}), done: make(chan struct{}),
		revs: map[string]faas.Revision{}, workloads: map[string]*workload{}, nodes: map[string]*node{},
		vacancy: make(chan struct{}, 1), wake: make(chan struct{}, 1), watchers: map[*watcher]struct{}{},
	}, nil
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// Run reconciles until ctx ends and then returns nil; what runs goes on running. It runs
// once; a second Run is ErrConflict. It returns ErrClosed when the naming service was
// closed. Of several managers over one naming service one decides; another takes over
// at once when its Run ends, and after its lease when it was killed.
//
// Before Run, Apply, Remove and Drain record what is wanted, and the other methods
// wait. After Run every method returns ErrClosed.
func (m *Manager) Run(ctx context.Context) error {
	if !m.begun.CompareAndSwap(false, true) {
		return faas.Errorf(managerName, "run", "", faas.ErrConflict, "it runs or ran already")
	}
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { m.lead(ctx) })
	loops.Go(func() { m.act(ctx) })
	err := m.follow(ctx)
	cancel()
	loops.Wait()

	m.mu.Lock()
	defer m.mu.Unlock()
	m.leading = false
	for _, w := range m.workloads {
		w.stopTimer()
	}
	close(m.done)
	return err
}

// Apply implements orchestrator.ResourceManager.
func (m *Manager) Apply(ctx context.Context, w orchestrator.Workload) error {
	const op = "apply"
	if err := m.check(ctx, op, w.ID); err != nil {
		return err
	}
	if err := w.Validate(); err != nil {
		return faas.Errorf(managerName, op, w.ID, faas.ErrInvalidArgument, "%w", err)
	}
	rec := orchestrator.WorkloadRecord{Workload: w, Applied: now()}
	name := orchestrator.WorkloadsPrefix + w.ID
	value := orchestrator.EncodeRecord(&rec)
	for {
		var absent faas.Revision
		e, err := m.cfg.Naming.Put(ctx, name, value, &orchestrator.PutOptions{IfRevision: &absent})
		if err == nil {
			// The caller may change its maps and slices now, so what is kept is not shared with it.
			if rec, err = orchestrator.DecodeRecord[orchestrator.WorkloadRecord](e); err == nil {
				m.echo(e, &rec)
			}
			return err
		}
		if !errors.Is(err, faas.ErrConflict) {
			return failed(op, w.ID, err)
		}
		e, err = m.cfg.Naming.Get(ctx, name)
		if errors.Is(err, faas.ErrNotFound) {
			continue // it has just gone
		}
		if err != nil {
			return failed(op, w.ID, err)
		}
		have, err := orchestrator.DecodeRecord[orchestrator.WorkloadRecord](e)
		switch {
		case err != nil:
			return failed(op, w.ID, err)
		case have.Removed:
			return faas.Errorf(managerName, op, w.ID, faas.ErrAlreadyExists, "the workload of that ID is stopping")
		case !bytes.Equal(orchestrator.EncodeRecord(&have.Workload), orchestrator.EncodeRecord(&w)):
			return faas.Errorf(managerName, op, w.ID, faas.ErrAlreadyExists, "a different workload has that ID")
		}
		return nil
	}
}

// Remove implements orchestrator.ResourceManager.
func (m *Manager) Remove(ctx context.Context, id string) error {
	const op = "remove"
	if err := m.check(ctx, op, id); err != nil {
		return err
	}
	name := orchestrator.WorkloadsPrefix + id
	for {
		e, err := m.cfg.Naming.Get(ctx, name)
		if err != nil {
			return failed(op, id, err)
		}
		rec, err := orchestrator.DecodeRecord[orchestrator.WorkloadRecord](e)
		if err != nil {
			// What cannot be read can still be forgotten: what runs for it is then stopped.
			rec = orchestrator.WorkloadRecord{Workload: orchestrator.Workload{ID: id}}
		}
		if rec.Removed {
			return nil
		}
		rec.Removed = true
		e, err = m.cfg.Naming.Put(ctx, name, orchestrator.EncodeRecord(&rec), &orchestrator.PutOptions{IfRevision: &e.Revision})
		if err == nil {
			m.echo(e, &rec)
			return nil
		}
		if !errors.Is(err, faas.ErrConflict) {
			return failed(op, id, err)
		}
	}
}

// Get implements orchestrator.ResourceManager.
func (m *Manager) Get(ctx context.Context, id string) (orchestrator.Status, error) {
	if err := m.ready(ctx, "get", id); err != nil {
		return orchestrator.Status{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workloads[id]
	if w == nil || w.shown.Phase == "" {
		return orchestrator.Status{}, faas.Errorf(managerName, "get", id, faas.ErrNotFound, "no workload has that ID")
	}
	return w.shown, nil
}

// List implements orchestrator.ResourceManager.
func (m *Manager) List(ctx context.Context) ([]orchestrator.Status, error) {
	if err := m.ready(ctx, "list", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]orchestrator.Status, 0, len(m.workloads))
	for _, w := range m.workloads {
		if w.shown.Phase != "" {
			all = append(all, w.shown)
		}
	}
	slices.SortFunc(all, func(a, b orchestrator.Status) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Nodes implements orchestrator.ResourceManager.
func (m *Manager) Nodes(ctx context.Context) ([]orchestrator.NodeState, error) {
	if err := m.ready(ctx, "nodes", ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh()
	all := slices.Clone(m.states)
	for i := range all {
		all[i].Workloads = slices.Clone(all[i].Workloads)
		slices.SortFunc(all[i].Workloads, func(a, b orchestrator.Placed) int { return cmp.Compare(a.ID, b.ID) })
	}
	return all, nil
}

// Drain implements orchestrator.ResourceManager.
func (m *Manager) Drain(ctx context.Context, name string, draining bool) error {
	const op = "drain"
	if err := m.check(ctx, op, name); err != nil {
		return err
	}
	key := orchestrator.DrainsPrefix + name
	_, err := m.cfg.Naming.Get(ctx, orchestrator.NodesPrefix+name)
	if errors.Is(err, faas.ErrNotFound) {
		// A lost node may still be said to be draining.
		_, err = m.cfg.Naming.Get(ctx, key)
	}
	if err != nil {
		return failed(op, name, err)
	}
	if draining {
		e, err := m.cfg.Naming.Put(ctx, key, []byte("{}"), nil)
		if err != nil {
			return failed(op, name, err)
		}
		m.echo(e, nil)
		return nil
	}
	if err := m.cfg.Naming.Delete(ctx, key, nil); err != nil && !errors.Is(err, faas.ErrNotFound) {
		return failed(op, name, err)
	}
	return nil
}

// check is what every call begins with.
func (m *Manager) check(ctx context.Context, op, key string) error {
	select {
	case <-m.done:
		return faas.Errorf(managerName, op, key, faas.ErrClosed, "the manager has stopped")
	default:
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, managerName, op, key)
	}
	return nil
}

// ready waits until the cache holds what was there when Run began.
func (m *Manager) ready(ctx context.Context, op, key string) error {
	select {
	case <-m.synced:
	case <-m.done:
	case <-ctx.Done():
	}
	return m.check(ctx, op, key)
}

// failed says what the manager was doing when the naming service failed.
func failed(op, key string, err error) error {
	return &faas.Error{Component: managerName, Op: op, Key: key, Class: faas.Class(err), Err: err}
}

// now is the time as a record keeps it: without a monotonic reading.
func now() time.Time { return time.Now().UTC().Round(0) }
