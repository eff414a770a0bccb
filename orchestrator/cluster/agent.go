package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

const agentName = "node agent"

// infoTimeout bounds how long NewAgent waits for a driver to say what it is.
const infoTimeout = 10 * time.Second

// AgentConfig is what NewAgent needs.
type AgentConfig struct {
	// Naming (R1) is where manager and agent meet. Required.
	Naming orchestrator.NamingService
	// Node is the node's name, capacity and labels; Drivers is filled in. The name is required.
	Node orchestrator.Node
	// Drivers start the instances. At least one; each has a name of its own. The agent does
	// not close them. A driver may serve several agents: each knows its own tasks by a label.
	Drivers []driver.Driver
	// Code is where archives come from. Nil: workloads with code are refused.
	Code orchestrator.CodeSource
	// CodeDir is the directory for unpacked code, this agent's alone. Required with Code.
	CodeDir string
	// CodeCacheBytes bounds the unpacked code that no instance uses. Zero: DefaultCodeCacheBytes.
	CodeCacheBytes int64
	// LeaseTTL is how soon the node counts as lost when the agent falls silent; it renews
	// three times in each. Zero: DefaultLeaseTTL.
	LeaseTTL time.Duration
	// LeaveRunning leaves the instances running when Run ends, for another agent of the
	// same name that begins within LeaseTTL to adopt. False: they are stopped.
	LeaveRunning bool
	// Logger receives starts and ends at debug level and faults as warnings. Nil: discard.
	Logger *slog.Logger
}

// Agent is the node agent of one node. Create it with NewAgent.
type Agent struct {
	cfg         AgentConfig
	log         *slog.Logger
	node        orchestrator.Node
	drivers     map[string]driver.Driver
	code        *codeCache // nil: none
	incarnation string
	begun       atomic.Bool

	ctx  context.Context // of Run: ends with it
	work sync.WaitGroup  // goroutines of tasks

	mu      sync.Mutex
	lease   orchestrator.LeaseID // 0: the node is not announced now
	tasks   map[string]*task
	heirOf  string          // the incarnation that left the node to this one; empty: none
	done    map[string]bool // the starts that it had settled
	listed  bool            // what is assigned is known
	leaving bool            // Run is ending: instances are stopped, or left when LeaveRunning
}

var _ orchestrator.NodeAgent = (*Agent)(nil)

// NewAgent returns an agent that does nothing until Run. It asks every driver for
// its Info. Errors: ErrInvalidArgument, all faults at once, and what a driver's Info returns.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(agentName, "configure", field, faas.ErrInvalidArgument, format, args...))
	}
	if cfg.Naming == nil {
		bad("Naming", "is required")
	}
	if err := faas.ValidateName("Node.Name", cfg.Node.Name); err != nil {
		errs = append(errs, err)
	}
	for _, r := range [...]int64{cfg.Node.Capacity.MilliCPU, cfg.Node.Capacity.Memory, cfg.Node.Capacity.Pids} {
		if r < 0 {
			bad("Node.Capacity", "is negative")
		}
	}
	if len(cfg.Drivers) == 0 {
		bad("Drivers", "at least one is required")
	}
	if cfg.Code != nil && cfg.CodeDir == "" {
		bad("CodeDir", "is required with Code")
	}
	if cfg.LeaseTTL < 0 {
		bad("LeaseTTL", "is negative")
	}
	if cfg.CodeCacheBytes < 0 {
		bad("CodeCacheBytes", "is negative")
	}
	a := &Agent{cfg: cfg, log: logger(cfg.Logger).With("node", cfg.Node.Name), node: cfg.Node, incarnation: uuid.NewString(),
		drivers: make(map[string]driver.Driver, len(cfg.Drivers)), tasks: map[string]*task{}}
	a.cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, DefaultLeaseTTL)
	a.node.Drivers = make([]driver.Info, 0, len(cfg.Drivers))
	ctx, cancel := context.WithTimeout(context.Background(), infoTimeout)
	defer cancel()
	for _, d := range cfg.Drivers {
		if d == nil {
			bad("Drivers", "one is nil")
			continue
		}
		info, err := d.Info(ctx)
		if err != nil {
			errs = append(errs, &faas.Error{Component: agentName, Op: "configure", Key: "Drivers", Class: faas.Class(err), Err: err})
			continue
		}
		if a.drivers[info.Name] != nil {
			bad("Drivers", "two are named %q", info.Name)
		}
		a.drivers[info.Name] = d
		a.node.Drivers = append(a.node.Drivers, info)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Code != nil {
		a.code = newCodeCache(cfg.Code, cfg.CodeDir, cmp.Or(cfg.CodeCacheBytes, DefaultCodeCacheBytes), a.log)
	}
	return a, nil
}

// Node implements orchestrator.NodeAgent.
func (a *Agent) Node() orchestrator.Node { return a.node }

// Run implements orchestrator.NodeAgent. A name that is still taken after the lease of whoever
// holds it should have ended is ErrAlreadyExists. When ctx ends it withdraws the node
// first, so that nobody is sent there any more, then stops the instances with their grace.
func (a *Agent) Run(ctx context.Context) error {
	if !a.begun.CompareAndSwap(false, true) {
		return faas.Errorf(agentName, "run", a.node.Name, faas.ErrConflict, "it runs or ran already")
	}
	if a.code != nil {
		if err := a.code.open(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.ctx = ctx
	if err := a.announce(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var loops sync.WaitGroup
	var failure error
	loops.Go(func() {
		failure = a.keep(ctx)
		cancel(failure)
	})
	for _, d := range a.drivers {
		a.recover(ctx, d)
		loops.Go(func() { a.observe(ctx, d) })
	}
	err := a.follow(ctx)
	cancel(err)
	loops.Wait()
	a.leave(ctx)
	if a.code != nil {
		a.code.close()
	}
	return errors.Join(err, failure)
}

// announce puts the node's name under a new lease. It waits for a holder that does not
// answer any more to expire.
func (a *Agent) announce(ctx context.Context) error {
	const op = "announce"
	name := orchestrator.NodesPrefix + a.node.Name
	value := orchestrator.EncodeRecord(&orchestrator.NodeRecord{Node: a.node, Incarnation: a.incarnation, TTL: a.cfg.LeaseTTL})
	var deadline time.Time // until which a holder is waited for
	for {
		lease, err := a.cfg.Naming.Grant(ctx, a.cfg.LeaseTTL)
		var holder faas.Revision
		var vacant orchestrator.NodeRecord
		if err == nil {
			var e orchestrator.Entry
			if e, err = a.cfg.Naming.Get(ctx, name); err == nil {
				holder = e.Revision
				if vacant, err = orchestrator.DecodeRecord[orchestrator.NodeRecord](e); err == nil && !vacant.Vacant {
					revoke(ctx, a.cfg.Naming, lease)
					if deadline.IsZero() {
						deadline = time.Now().Add(vacant.TTL + vacant.TTL/8)
					}
					if err := a.vacated(ctx, name, holder, deadline); err != nil {
						return err
					}
					continue
				}
			} else if errors.Is(err, faas.ErrNotFound) {
				err = nil
			}
		}
		if err == nil && vacant.Vacant {
			err = a.inherit(ctx, vacant.Incarnation)
		}
		if err == nil {
			_, err = a.cfg.Naming.Put(ctx, name, value, &orchestrator.PutOptions{IfRevision: &holder, Lease: lease})
		}
		if err == nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lease = lease
			for _, t := range a.tasks { // what was reported went with the lease before
				t.recorded = false
				a.kick(t)
			}
			return nil
		}
		if lease != 0 {
			revoke(ctx, a.cfg.Naming, lease)
		}
		switch {
		case ctx.Err() != nil:
			return faas.ContextError(ctx, agentName, op, a.node.Name)
		case errors.Is(err, faas.ErrConflict):
			continue
		case errors.Is(err, faas.ErrClosed), errors.Is(err, faas.ErrInvalidArgument), errors.Is(err, faas.ErrCorrupt):
			return &faas.Error{Component: agentName, Op: op, Key: a.node.Name, Class: faas.Class(err), Err: err}
		}
		a.log.Warn("cannot announce the node; trying again", "error", err)
		pause(ctx, retryAfter)
	}
}

// inherit learns which starts a predecessor has settled: of those that it was
// assigned and has not, this agent is free to make its own.
func (a *Agent) inherit(ctx context.Context, incarnation string) error {
	all, _, err := a.cfg.Naming.List(ctx, orchestrator.StatusesPrefix+a.node.Name+"/")
	if err != nil {
		return err
	}
	done := make(map[string]bool, len(all))
	for _, e := range all {
		st, err := orchestrator.DecodeRecord[orchestrator.AgentStatus](e)
		if err != nil {
			return err
		}
		was := orchestrator.Assignment{Workload: orchestrator.Workload{ID: st.ID}, Applied: st.Applied, Attempt: st.Attempt}
		done[was.Start(a.node.Name)] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heirOf, a.done = incarnation, done
	return nil
}

// mayStart reports whether the assignment can be started, not having been so before.
// The caller holds mu.
func (a *Agent) mayStart(as *assignment, key string) bool {
	switch as.Incarnation {
	case "", a.incarnation:
		return true
	case a.heirOf:
		return !a.done[key]
	}
	return false
}

// vacated waits until the name changes hands, at most until the deadline.
func (a *Agent) vacated(ctx context.Context, name string, rev faas.Revision, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for range a.cfg.Naming.Watch(ctx, name, rev) {
		break // whatever it is: look again
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err := faas.Errorf(agentName, "announce", a.node.Name, faas.ErrAlreadyExists, "another live agent holds that name")
		err.Next = "give each node a name of its own"
		return err
	}
	return nil
}

// keep keeps the node announced; it returns when ctx ends, or with the reason why that
// cannot work any more.
func (a *Agent) keep(ctx context.Context) error {
	for {
		a.mu.Lock()
		lease := a.lease
		a.mu.Unlock()
		renewed(ctx, a.cfg.Naming, lease, a.cfg.LeaseTTL)
		if ctx.Err() != nil {
			return nil
		}
		a.mu.Lock()
		a.lease = 0
		a.mu.Unlock()
		a.log.Warn("lost the lease of the node; announcing it anew")
		if err := a.announce(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// leave ends what Run began.
func (a *Agent) leave(ctx context.Context) {
	a.mu.Lock()
	lease := a.lease
	a.leaving = true
	a.mu.Unlock()
	if a.cfg.LeaveRunning {
		a.work.Wait() // starts under way were cancelled
		a.vacate(ctx, lease)
		return
	}
	if lease != 0 {
		revoke(ctx, a.cfg.Naming, lease)
	}
	a.mu.Lock()
	for _, t := range a.tasks {
		a.kick(t)
	}
	a.mu.Unlock()
	a.work.Wait()
}

// vacate offers the name to a successor for as long as the lease lasts.
func (a *Agent) vacate(ctx context.Context, lease orchestrator.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if lease == 0 {
		return
	}
	rec := orchestrator.NodeRecord{Node: a.node, Incarnation: a.incarnation, TTL: a.cfg.LeaseTTL, Vacant: true}
	if _, err := a.cfg.Naming.Put(ctx, orchestrator.NodesPrefix+a.node.Name, orchestrator.EncodeRecord(&rec), &orchestrator.PutOptions{Lease: lease}); err != nil {
		a.log.Warn("cannot offer the node to a successor", "error", err)
		return
	}
	_ = a.cfg.Naming.Renew(ctx, lease) // the successor has the whole ttl
}
